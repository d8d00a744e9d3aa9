/* json.h - write JSON to a stdio stream, commas and quoting done. One thread per writer. */
#ifndef FA_JSON_H
#define FA_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct fa_json {
	FILE *out;
	int depth;
	bool comma;  /* a value precedes in this container */
	bool pretty; /* two blanks of indentation a level; else all on one line */
};

void fa_json_init(struct fa_json *j, FILE *out, bool pretty);
void fa_json_object(struct fa_json *j, const char *key); /* key NULL: an array element or the top */
void fa_json_end_object(struct fa_json *j);
void fa_json_array(struct fa_json *j, const char *key);
void fa_json_end_array(struct fa_json *j);
/* Bytes that are no UTF-8 become U+FFFD; NULL becomes null. */
void fa_json_string(struct fa_json *j, const char *key, const char *value);
void fa_json_u64(struct fa_json *j, const char *key, uint64_t value);
void fa_json_i64(struct fa_json *j, const char *key, int64_t value);
void fa_json_double(struct fa_json *j, const char *key, double value);
void fa_json_bool(struct fa_json *j, const char *key, bool value);
void fa_json_null(struct fa_json *j, const char *key);
void fa_json_newline(struct fa_json *j); /* ends a line: after the top value, or in JSON lines */

#endif
