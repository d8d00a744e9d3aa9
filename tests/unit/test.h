/* test.h - one CHECK per claim; a test's name is the sentence that it proves. */
#ifndef FA_TEST_H
#define FA_TEST_H

#include <stdio.h>

static int fa_passed, fa_failed, fa_claims_failed;
#define CHECK(claim)                                                                               \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			fa_claims_failed++;                                                        \
			printf("  %s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #claim); \
		}                                                                                  \
	} while (0)
#define SPEC(sentence) static void sentence(void)
#define RUN(sentence)                                                                              \
	do {                                                                                       \
		int before_ = fa_claims_failed;                                                    \
		sentence();                                                                        \
		if (before_ == fa_claims_failed)                                                   \
			fa_passed++;                                                               \
		else                                                                               \
			fa_failed++;                                                               \
		printf("%s %s\n", before_ == fa_claims_failed ? "ok" : "not ok", #sentence);       \
	} while (0)
/* End of main: return TEST_RESULT(); */
#define TEST_RESULT()                                                                              \
	(printf("%d passed, %d failed\n", fa_passed, fa_failed), fa_failed != 0)

#endif
