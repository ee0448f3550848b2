/*
 * What PHP's own `configure` would find out about WASI, said by hand: the answers are known, and finding them takes as long as
 * compiling a third of PHP. A function that is missing here is one that WASI has not, or one that PHP must not believe in.
 */
#ifndef WATERTIGHT_PHP_CONFIG_H
#define WATERTIGHT_PHP_CONFIG_H

#define ZEND_API __attribute__((visibility("default")))
#define ZEND_DLEXPORT ZEND_API
#define ZEND_DLIMPORT
#define ZEND_DEBUG 0

/* Pointers have 32 bits here, and integers of scripts 64 all the same. */
#define ZEND_ENABLE_ZVAL_LONG64 1
#define ZEND_MM_ALIGNMENT 8
#define ZEND_MM_ALIGNMENT_LOG2 3
#define ZEND_MM_NEED_EIGHT_BYTE_REALIGNMENT 0
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_SIZE_T 4
#define SIZEOF_SSIZE_T 4
#define SIZEOF_PTRDIFF_T 4
#define SIZEOF_OFF_T 8
#define HAVE_INT8_T 1
#define HAVE_INT16_T 1
#define HAVE_INT32_T 1
#define HAVE_INT64_T 1
#define HAVE_UINT8_T 1
#define HAVE_UINT16_T 1
#define HAVE_UINT32_T 1
#define HAVE_UINT64_T 1
#define HAVE_PTRDIFF_T 1
#define HAVE_SSIZE_T 1
#define HAVE_SOCKLEN_T 1
#define HAVE_SOCKADDR_STORAGE 1

/* The compiler. */
#define HAVE_ALIGNOF 1
#define HAVE_ALLOCA 1
#define HAVE_ATTRIBUTE_ALIGNED 1
#define PHP_HAVE_BUILTIN_CLZ 1
#define PHP_HAVE_BUILTIN_CLZL 1
#define PHP_HAVE_BUILTIN_CLZLL 1
#define PHP_HAVE_BUILTIN_CPU_INIT 0
#define PHP_HAVE_BUILTIN_CPU_SUPPORTS 0
#define PHP_HAVE_BUILTIN_CTZL 1
#define PHP_HAVE_BUILTIN_CTZLL 1
#define PHP_HAVE_BUILTIN_EXPECT 1
#define PHP_HAVE_BUILTIN_SADDL_OVERFLOW 1
#define PHP_HAVE_BUILTIN_SADDLL_OVERFLOW 1
#define PHP_HAVE_BUILTIN_SMULL_OVERFLOW 1
#define PHP_HAVE_BUILTIN_SMULLL_OVERFLOW 1
#define PHP_HAVE_BUILTIN_SSUBL_OVERFLOW 1
#define PHP_HAVE_BUILTIN_SSUBLL_OVERFLOW 1

/* Headers. */
#define STDC_HEADERS 1
#define HAVE_ALLOCA_H 1
#define HAVE_ARPA_INET_H 1
#define HAVE_BUILD_DEFS_H 1
#define HAVE_DIRENT_H 1
#define HAVE_FCNTL_H 1
#define HAVE_GRP_H 1
#define HAVE_INTTYPES_H 1
#define HAVE_LANGINFO_H 1
#define HAVE_MALLOC_H 1
#define HAVE_NETINET_IN_H 1
#define HAVE_POLL_H 1
#define HAVE_PWD_H 1
#define HAVE_STDINT_H 1
#define HAVE_STDIO_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRING_H 1
#define HAVE_STRINGS_H 1
#define HAVE_SYSEXITS_H 1
#define HAVE_SYSLOG_H 1
#define HAVE_SYS_FILE_H 1
#define HAVE_SYS_IOCTL_H 1
#define HAVE_SYS_PARAM_H 1
#define HAVE_SYS_POLL_H 1
#define HAVE_SYS_SELECT_H 1
#define HAVE_SYS_SOCKET_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_UIO_H 1
#define HAVE_SYS_UTSNAME_H 1
#define HAVE_UNISTD_H 1
#define HAVE_UTIME_H 1
#define HAVE_WCHAR_H 1

/* Functions. */
#define HAVE_ALPHASORT 1
#define HAVE_ASCTIME_R 1
#define HAVE_ATOLL 1
#define HAVE_CTIME_R 1
#define HAVE_DECL_ARC4RANDOM_BUF 0
#define HAVE_DECL_STRERROR_R 1
#define HAVE_EXPLICIT_BZERO 1
#define HAVE_FDATASYNC 1
#define HAVE_FLOCK 1
#define HAVE_GETCWD 1
#define HAVE_GETTIMEOFDAY 1
#define HAVE_GLOB 1
#define HAVE_GMTIME_R 1
#define HAVE_HTONL 1
#define HAVE_INET_ATON 1
#define HAVE_INET_NTOP 1
#define HAVE_INET_PTON 1
#define HAVE_LIBM 1
#define HAVE_LOCALTIME_R 1
#define HAVE_MEMMEM 1
#define HAVE_MEMMOVE 1
#define HAVE_MEMRCHR 1
#define HAVE_MKSTEMP 1
#define HAVE_NANOSLEEP 1
#define HAVE_NL_LANGINFO 1
#define HAVE_POLL 1
#define HAVE_PUTENV 1
#define HAVE_SCANDIR 1
#define HAVE_SETENV 1
#define HAVE_STRCASECMP 1
#define HAVE_STRERROR_R 1
#define HAVE_STRLCAT 1
#define HAVE_STRLCPY 1
#define HAVE_STRNLEN 1
#define HAVE_STRPTIME 1
#define HAVE_STRPTIME_DECL_FAILS 1
#define HAVE_STRTOK_R 1
#define HAVE_STRTOLL 1
#define HAVE_STRUCT_FLOCK 1
#define HAVE_STRUCT_STAT_ST_BLKSIZE 1
#define HAVE_STRUCT_STAT_ST_BLOCKS 1
#define HAVE_STRUCT_STAT_ST_RDEV 1
#define HAVE_STRUCT_TM_TM_GMTOFF 1
#define HAVE_STRUCT_TM_TM_ZONE 1
#define HAVE_ST_BLOCKS 1
#define HAVE_SYMLINK 1
#define HAVE_TM_ZONE 1
#define HAVE_UNSETENV 1
#define HAVE_USLEEP 1
#define HAVE_UTIME 1
#define MISSING_FCLOSE_DECL 0
#define PHP_USE_PHP_CRYPT_R 1

/* Extensions. */
#define HAVE_BCMATH 1
#define HAVE_BUNDLED_PCRE 1
#define PCRE2_CODE_UNIT_WIDTH 8
#define HAVE_CALENDAR 1
#define HAVE_CTYPE 1
#define HAVE_EXIF 1
#define HAVE_ICONV 1
#define ICONV_BROKEN_IGNORE 0
#define PHP_ICONV_IMPL "musl"
#define HAVE_JSON 1
#define HAVE_MBSTRING 1
#define HAVE_PHP_SESSION 1
#define HAVE_TIMELIB_CONFIG_H 1

#define DEFAULT_SHORT_OPEN_TAG "1"
#define PHP_OS "WASI"
#define PHP_UNAME "WASI watertight wasm32"
#define PHP_BUILD_SYSTEM ""
#define PHP_SIGCHILD 0

#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/types.h>

#endif
