/*
 * empty.c - the 32-bit library: nothing. 32-bit programs are not traced; without a library of their
 * class behind /usr/$LIB the dynamic linker would print a line at each of their starts.
 */
extern const char firstalloc_does_not_trace_32bit_programs[];
const char firstalloc_does_not_trace_32bit_programs[] = "firstalloc";
