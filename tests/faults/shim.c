/* Fails the n-th call that writes below one folder, or ends the process before it.
 *
 * Loaded with LD_PRELOAD. FAULTS_FILE names a file of five 64-bit numbers that all processes map:
 * calls so far, the number to fail (0: none), what happens there, whether it has happened, and
 * whether all later calls fail as well. FAULTS_ROOT is the folder. Calls on files elsewhere are
 * neither counted nor failed. FAULTS_LOG, where it is set, gets a line for each call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CALLS, AT, MODE, DONE, STAY };
enum { MODE_ERRNO_MAX = 4095, MODE_SHORT = 5000, MODE_KILL = 5001 };

static int64_t *shared;
static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULTS_FILE"), *folder = getenv("FAULTS_ROOT");
  const char *log = getenv("FAULTS_LOG");
  if (!file || !folder || !realpath(folder, root)) return;
  root_length = strlen(root);
  int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (place != MAP_FAILED) shared = place;
  if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static int below_root(const char *path) {
  return shared && root_length && !strncmp(path, root, root_length) &&
         (path[root_length] == '/' || !path[root_length]);
}

static int fd_below_root(int fd) {
  if (!shared || fd < 0) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return below_root(path);
}

/* Whether a path, maybe relative, lies below the folder; what it names need not be there. */
static int path_below_root(int dir, const char *path) {
  if (!shared || !path) return 0;
  char whole[2 * PATH_MAX], parent[PATH_MAX];
  if (path[0] == '/') {
    snprintf(whole, sizeof whole, "%s", path);
  } else {
    char base[PATH_MAX];
    if (dir == AT_FDCWD) {
      if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
    } else {
      char link[64];
      snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
      ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
      if (n <= 0) return 0;
      base[n] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", base, path);
  }
  for (;;) {
    if (realpath(whole, parent)) return below_root(parent);
    char *slash = strrchr(whole, '/');
    if (!slash || slash == whole) return 0;
    *slash = 0;
  }
}

/* Counts a call; 0 where it is to go on, an errno where it fails, MODE_SHORT where it is cut. */
static int counted(const char *name, int can_be_short) {
  int64_t number = __atomic_add_fetch(&shared[CALLS], 1, __ATOMIC_SEQ_CST);
  if (log_fd >= 0) {
    char line[96];
    int n = snprintf(line, sizeof line, "%ld %s\n", (long)number, name);
    syscall(SYS_write, log_fd, line, n);
  }
  if (!shared[AT]) return 0;
  int later = shared[DONE] && shared[STAY];
  if (number != shared[AT] && !later) return 0;
  shared[DONE] = 1;
  if (shared[MODE] == MODE_KILL) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
  }
  if (shared[MODE] == MODE_SHORT) return number == shared[AT] && can_be_short ? MODE_SHORT : later ? ENOSPC : 0;
  return (int)shared[MODE];
}

/* Removing what is there takes no space: it fails on a file system that cannot be written at all. */
static int removal(void) {
  return shared[AT] && shared[DONE] && shared[STAY] && shared[MODE] == EROFS ? EROFS : 0;
}

#define NEXT(type, name, ...)                                    \
  static type (*real)(__VA_ARGS__);                              \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define FAIL_IF(watched, name)                  \
  if (watched) {                                \
    int failed = counted(name, 0);              \
    if (failed) { errno = failed; return -1; }  \
  }

#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))

#define OPEN(function)                                                            \
  int function(const char *path, int flags, ...) {                                \
    va_list rest; va_start(rest, flags);                                          \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;       \
    va_end(rest);                                                                 \
    FAIL_IF(WRITES(flags) && path_below_root(AT_FDCWD, path), "open")             \
    NEXT(int, #function, const char *, int, ...);                                 \
    return real(path, flags, mode);                                               \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(function)                                                          \
  int function(int dir, const char *path, int flags, ...) {                       \
    va_list rest; va_start(rest, flags);                                          \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;       \
    va_end(rest);                                                                 \
    FAIL_IF(WRITES(flags) && path_below_root(dir, path), "open")                  \
    NEXT(int, #function, int, const char *, int, ...);                            \
    return real(dir, path, flags, mode);                                          \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(function)                                                           \
  FILE *function(const char *path, const char *mode) {                            \
    if (strpbrk(mode, "wa+") && path_below_root(AT_FDCWD, path)) {                \
      int failed = counted("fopen", 0);                                           \
      if (failed) { errno = failed; return NULL; }                                \
    }                                                                             \
    NEXT(FILE *, #function, const char *, const char *);                          \
    return real(path, mode);                                                      \
  }
FOPEN(fopen)
FOPEN(fopen64)

#define CUT(name, size)                                             \
  if (fd_below_root(fd)) {                                          \
    int failed = counted(name, (size) > 1);                         \
    if (failed == MODE_SHORT) size /= 2;                            \
    else if (failed) { errno = failed; return -1; }                 \
  }

ssize_t write(int fd, const void *data, size_t size) {
  CUT("write", size)
  return syscall(SYS_write, fd, data, size);
}

#define PWRITE(function)                                                          \
  ssize_t function(int fd, const void *data, size_t size, off_t offset) {         \
    CUT("pwrite", size)                                                           \
    return syscall(SYS_pwrite64, fd, data, size, offset);                         \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *parts, int n) {
  FAIL_IF(fd_below_root(fd), "writev")
  return syscall(SYS_writev, fd, parts, n);
}

#define SENDFILE(function)                                                        \
  ssize_t function(int fd, int from, off_t *offset, size_t size) {                \
    CUT("sendfile", size)                                                         \
    return syscall(SYS_sendfile, fd, from, offset, size);                         \
  }
SENDFILE(sendfile)
SENDFILE(sendfile64)

ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags) {
  CUT("copy_file_range", size)
  return syscall(SYS_copy_file_range, from, at, fd, to, size, flags);
}

int fsync(int fd) {
  FAIL_IF(fd_below_root(fd), "fsync")
  return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  FAIL_IF(fd_below_root(fd), "fdatasync")
  return syscall(SYS_fdatasync, fd);
}

#define TRUNCATE(function)                       \
  int function(int fd, off_t size) {             \
    FAIL_IF(fd_below_root(fd), "ftruncate")      \
    return syscall(SYS_ftruncate, fd, size);     \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

/* What was written may be refused as late as at the end: a quota, a network file system. */
int close(int fd) {
  if (shared && fd_below_root(fd)) {
    int flags = fcntl(fd, F_GETFL);
    if (flags != -1 && (flags & O_ACCMODE) != O_RDONLY) {
      int failed = counted("close", 0);
      if (failed && failed != EROFS) {
        syscall(SYS_close, fd);
        errno = failed;
        return -1;
      }
    }
  }
  return syscall(SYS_close, fd);
}

int rename(const char *old, const char *new) {
  FAIL_IF(path_below_root(AT_FDCWD, new), "rename")
  return syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int a, const char *old, int b, const char *new) {
  FAIL_IF(path_below_root(b, new), "rename")
  return syscall(SYS_renameat2, a, old, b, new, 0);
}

int renameat2(int a, const char *old, int b, const char *new, unsigned flags) {
  FAIL_IF(path_below_root(b, new), "rename")
  return syscall(SYS_renameat2, a, old, b, new, flags);
}

int link(const char *old, const char *new) {
  FAIL_IF(path_below_root(AT_FDCWD, new), "link")
  return syscall(SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int symlink(const char *old, const char *new) {
  FAIL_IF(path_below_root(AT_FDCWD, new), "symlink")
  return syscall(SYS_symlinkat, old, AT_FDCWD, new);
}

int mkdir(const char *path, mode_t mode) {
  FAIL_IF(path_below_root(AT_FDCWD, path), "mkdir")
  return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int mkdirat(int dir, const char *path, mode_t mode) {
  FAIL_IF(path_below_root(dir, path), "mkdir")
  return syscall(SYS_mkdirat, dir, path, mode);
}

int unlink(const char *path) {
  if (path_below_root(AT_FDCWD, path) && removal()) { errno = EROFS; return -1; }
  return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
  if (path_below_root(AT_FDCWD, path) && removal()) { errno = EROFS; return -1; }
  return syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int unlinkat(int dir, const char *path, int flags) {
  if (path_below_root(dir, path) && removal()) { errno = EROFS; return -1; }
  return syscall(SYS_unlinkat, dir, path, flags);
}

/* A mapping that is written through takes its space at a moment that no call shows. */
#define MMAP(function)                                                                          \
  void *function(void *at, size_t size, int protection, int flags, int fd, off_t offset) {      \
    if ((protection & PROT_WRITE) && (flags & MAP_SHARED) && fd >= 0 && fd_below_root(fd)) {    \
      int failed = counted("mmap", 0);                                                          \
      if (failed && failed != MODE_SHORT) { errno = failed; return MAP_FAILED; }                \
    }                                                                                           \
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);                  \
  }
MMAP(mmap)
MMAP(mmap64)
