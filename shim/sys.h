/*
 * sys.h - the few system calls that the shim makes, by the instruction itself.
 *
 * libc's wrappers set errno, may be cancellation points, and cannot be called before libc has
 * started; none of that may happen in the traced process. Every function returns what the kernel
 * returns: a value, or -errno.
 */
#ifndef FA_SYS_H
#define FA_SYS_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef __x86_64__
#error "system calls are written for x86-64"
#endif

/* Linux 4.17; older kernels take it for a hint, which the address tells. */
#define FA_MAP_FIXED_NOREPLACE 0x100000

/* Linux 5.14: fault the pages in as a read, a write would, and say whether that went well. */
#define FA_MADV_POPULATE_READ  22
#define FA_MADV_POPULATE_WRITE 23

static inline long fa_sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long fa_sys_call3(long number, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long fa_sys_call4(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Is this result of a system call an error? */
static inline int fa_sys_failed(long result)
{
	return (unsigned long)result > -4096UL;
}

/* An address, or -errno as a pointer: ask fa_sys_failed((long)p). */
static inline void *fa_sys_mmap(void *address, size_t length, int protection, int flags, int fd,
				off_t offset)
{
	return (void *)fa_sys_call6(SYS_mmap, (long)address, (long)length, protection, flags, fd,
				    offset);
}

static inline int fa_sys_munmap(void *address, size_t length)
{
	return (int)fa_sys_call3(SYS_munmap, (long)address, (long)length, 0);
}

static inline int fa_sys_mprotect(void *address, size_t length, int protection)
{
	return (int)fa_sys_call3(SYS_mprotect, (long)address, (long)length, protection);
}

static inline int fa_sys_madvise(void *address, size_t length, int advice)
{
	return (int)fa_sys_call3(SYS_madvise, (long)address, (long)length, advice);
}

static inline int fa_sys_openat(int dirfd, const char *path, int flags, unsigned mode)
{
	return (int)fa_sys_call4(SYS_openat, dirfd, (long)path, flags, mode);
}

static inline long fa_sys_read(int fd, void *bytes, size_t length)
{
	return fa_sys_call3(SYS_read, fd, (long)bytes, (long)length);
}

static inline int fa_sys_close(int fd)
{
	return (int)fa_sys_call3(SYS_close, fd, 0, 0);
}

static inline int fa_sys_getpid(void)
{
	return (int)fa_sys_call3(SYS_getpid, 0, 0, 0);
}

static inline int fa_sys_gettid(void)
{
	return (int)fa_sys_call3(SYS_gettid, 0, 0, 0);
}

#endif
