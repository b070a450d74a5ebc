/*
 * The first code of a self-contained executable. The kernel starts it as a program without an
 * interpreter; it does what the kernel would have done for one with an interpreter: it puts the dynamic
 * loader, which is part of the file, into memory and lets it run. The libraries, also part of the file,
 * become memfds, or files of a file system that nobody else sees, which the loader is told to preload.
 *
 * It runs twice. `begin` is the program's entry point; `finish` is what the loader takes for the entry
 * point of the program. It takes away every trace of all this and jumps to the real one.
 *
 * Freestanding: no library, no writable data, position-independent. `bun run packaging/self-contained/make-stub.ts`
 * makes the flat images stub.x64.hex and stub.arm64.hex of it.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef int s32;

/* Filled in by pack.ts, which has the same layout. At the beginning of the image. */
#define TABLE_BYTES 1024
#define MAX_SEGMENTS 6
#define MAX_LIBRARIES 8
struct loader_segment {
  u64 address; /* in the loader, whose first is 0 */
  u64 offset;  /* in the data */
  u64 file_bytes;
  u64 memory_bytes;
  u64 protection; /* PROT_* */
};
struct library {
  u64 offset; /* in the data */
  u64 bytes;
  char name[32];
};
struct table {
  u64 program_entry; /* the first: `begin` jumps there by it */
  u64 program_headers; /* the program's own, unchanged but for PT_PHDR */
  u64 program_header_count;
  u64 data; /* the segment with loader and libraries */
  u64 data_bytes;
  u64 loader_entry;
  u64 loader_bytes;
  u64 attributes_slot; /* where the program keeps the address of pthread_getattr_np */
  u64 segment_count;
  struct loader_segment segments[MAX_SEGMENTS];
  u64 library_count;
  struct library libraries[MAX_LIBRARIES];
  /* Written by `finish`, and only where there is no /proc. */
  u64 stack_top;
  u64 stack_bytes;
  u64 attributes_function;
};
extern struct table table __attribute__((visibility("hidden")));
_Static_assert(sizeof(struct table) <= TABLE_BYTES, "the table has its place");

#if defined(__x86_64__)
enum {
  SYS_write = 1, SYS_close = 3, SYS_mmap = 9, SYS_mprotect = 10, SYS_munmap = 11, SYS_fchdir = 81,
  SYS_exit_group = 231, SYS_openat = 257, SYS_mkdirat = 258, SYS_unlinkat = 263, SYS_faccessat = 269,
  SYS_prlimit64 = 302, SYS_memfd_create = 319, SYS_getrandom = 318, SYS_clock_gettime = 228, SYS_getpid = 39, SYS_ioctl = 16,
};
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
static inline long call(long n, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(result)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum {
  SYS_write = 64, SYS_close = 57, SYS_mmap = 222, SYS_mprotect = 226, SYS_munmap = 215, SYS_fchdir = 50,
  SYS_exit_group = 94, SYS_openat = 56, SYS_mkdirat = 34, SYS_unlinkat = 35, SYS_faccessat = 48,
  SYS_prlimit64 = 261, SYS_memfd_create = 279, SYS_getrandom = 278, SYS_clock_gettime = 113, SYS_getpid = 172, SYS_ioctl = 29,
};
#define O_DIRECTORY 040000
#define O_NOFOLLOW 0100000
static inline long call(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#endif
/* The same number on both. */
enum { SYS_fsopen = 430, SYS_fsconfig = 431, SYS_fsmount = 432 };
#define SYSTEM(n, a, b, c, d, e, f) \
  call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

enum { AT_NULL = 0, AT_PHDR = 3, AT_PHNUM = 5, AT_BASE = 7, AT_ENTRY = 9, AT_PAGESZ = 6, AT_HWCAP = 16, AT_SECURE = 23 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_PRIVATE = 2, MAP_FIXED = 16, MAP_ANONYMOUS = 32 };
enum { AT_FDCWD = -100, AT_REMOVEDIR = 0x200 };
enum { O_RDWR = 2, O_CREAT = 0100, O_EXCL = 0200, O_CLOEXEC = 02000000, O_PATH = 010000000 };
enum { MFD_CLOEXEC = 1, MFD_NOEXEC_SEAL = 8 };
enum { FSOPEN_CLOEXEC = 1, FSMOUNT_CLOEXEC = 1, FSCONFIG_CMD_CREATE = 6 };
enum { RLIMIT_STACK = 3 };
enum { GRND_NONBLOCK = 1 };
enum { CLOCK_MONOTONIC = 1, TCSBRK = 0x5409 };
/* sysexits.h: EX_UNAVAILABLE, EX_SOFTWARE */
enum { STATUS_UNAVAILABLE = 69, STATUS_SOFTWARE = 70 };
#define ENOENT 2
#define EINVAL 22

/* What `begin` leaves on the stack for `finish`, above the arguments. */
#define HANDOVER_BYTES 2048
enum { DIRECTORY_BYTES = 64, PRELOAD_BYTES = 1024 };
struct handover {
  char preload[PRELOAD_BYTES]; /* LD_PRELOAD=…; the first, since `finish` has its address alone */
  u64 *variables;              /* the environment as the kernel made it, in pages of its own; or 0 */
  u64 variables_bytes;
  char library_path[24];       /* LD_LIBRARY_PATH= */
  char directory[DIRECTORY_BYTES];   /* to be removed with the libraries in it; empty where there is none */
  s32 descriptors[MAX_LIBRARIES + 1];
  s32 descriptor_count;
  s32 home; /* the working directory, where that was left; or -1 */
};
_Static_assert(sizeof(struct handover) <= HANDOVER_BYTES - 16, "the handover has its place");

/* The compiler is free to call these. */
__attribute__((used)) void *memcpy(void *to, const void *from, u64 bytes) {
  char *target = to;
  const char *source = from;
  while (bytes--) *target++ = *source++;
  return to;
}
__attribute__((used)) void *memset(void *to, int value, u64 bytes) {
  char *target = to;
  while (bytes--) *(volatile char *)target++ = value;
  return to;
}

static int failed(long result) { return result < 0 && result > -4096; }

static char *append(char *to, const char *text) {
  while (*text) *to++ = *text++;
  *to = 0;
  return to;
}

static char *append_number(char *to, long value) {
  char digits[24];
  int count = 0;
  do digits[count++] = '0' + value % 10;
  while (value /= 10);
  while (count) *to++ = digits[--count];
  *to = 0;
  return to;
}

static __attribute__((noreturn)) void exit_with_error(int status, const char *text) {
  const char *end = text;
  while (*end) end++;
  SYSTEM(SYS_write, 2, text, end - text, 0, 0, 0);
  /* tcdrain(3): when an init ends the kernel panics, with what a serial console has not sent yet. */
  SYSTEM(SYS_ioctl, 2, TCSBRK, 1, 0, 0, 0);
  for (;;) SYSTEM(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static __attribute__((noreturn)) void die(const char *what, long result) {
  char text[400], *end = append(text, "vsockbox: cannot start: ");
  end = append(end, what);
  if (failed(result)) end = append_number(append(end, ": error "), -result);
  append(end, "\n");
  exit_with_error(STATUS_SOFTWARE, text);
}

/*
 * What the runtime is compiled for: x86-64-v2 of the psABI, or Armv8.0-A with CRC32. On a processor without
 * it the runtime ends by SIGILL at some later instruction, which is a panic of the kernel if this is its init.
 */
struct processor_feature {
  u32 bit;
  char name[12];
};
#if defined(__x86_64__)
#define REQUIRED_LEVEL "x86-64-v2"
#define EMULATOR_HINT "-cpu host with KVM, -cpu max without"
/* CPUID leaf 1, ECX */
static const struct processor_feature required_features[] = {
  {0, "SSE3"}, {9, "SSSE3"}, {13, "CMPXCHG16B"}, {19, "SSE4.1"}, {20, "SSE4.2"}, {23, "POPCNT"},
};
static u64 processor_features(u64 hwcap) {
  u32 eax = 1, ebx, ecx = 0, edx;
  (void)hwcap;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return ecx;
}
#elif defined(__aarch64__)
#define REQUIRED_LEVEL "Armv8-A with CRC32"
#define EMULATOR_HINT "-cpu host with KVM, -cpu max without"
/* AT_HWCAP, asm/hwcap.h */
static const struct processor_feature required_features[] = {{0, "FP"}, {1, "ASIMD"}, {7, "CRC32"}};
static u64 processor_features(u64 hwcap) { return hwcap; }
#endif

static void require_processor(u64 hwcap) {
  u64 features = processor_features(hwcap);
  char text[400], *end = append(text, "vsockbox: cannot start: this processor lacks ");
  int count = 0;
  for (u64 i = 0; i < sizeof(required_features) / sizeof(*required_features); i++) {
    if (features >> required_features[i].bit & 1) continue;
    if (count++) end = append(end, ", ");
    end = append(end, required_features[i].name);
  }
  if (!count) return;
  append(end, "; " REQUIRED_LEVEL " is needed (QEMU: " EMULATOR_HINT ")\n");
  exit_with_error(STATUS_UNAVAILABLE, text);
}

/*
 * Blocks until the kernel has random bytes: the runtime aborts where it has none, as in the init of a machine
 * without RDRAND. Asking for one is what makes a kernel from 5.4 on collect them.
 */
static void wait_for_random_bytes(void) {
  char byte;
  SYSTEM(SYS_getrandom, &byte, sizeof(byte), 0, 0, 0, 0);
}

/*
 * Names need to be unique, and nothing else may follow from them: the bytes of AT_RANDOM are the seed of stack
 * canaries. A kernel before 3.17 does not have getrandom(2).
 */
static u64 unique_number(void) {
  u64 number = 0;
  if (SYSTEM(SYS_getrandom, &number, sizeof(number), GRND_NONBLOCK, 0, 0, 0) == sizeof(number)) return number;
  u64 time[2] = {0, 0};
  SYSTEM(SYS_clock_gettime, CLOCK_MONOTONIC, time, 0, 0, 0, 0);
  return time[0] << 52 ^ time[1] << 22 ^ (u64)SYSTEM(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* Writes all of a library. 0, or the error. */
static long fill(long fd, const struct library *library) {
  u64 done = 0;
  while (done < library->bytes) {
    long written = SYSTEM(SYS_write, fd, table.data + library->offset + done, library->bytes - done, 0, 0, 0);
    if (written <= 0) return written < 0 ? written : -5;
    done += written;
  }
  return 0;
}

/* Whether the loader can map code of a file: 0, or the error. A file system that is mounted noexec is of no use. */
static long probe(long fd) {
  long page = SYSTEM(SYS_mmap, 0, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  if (failed(page)) return page;
  SYSTEM(SYS_munmap, page, 1, 0, 0, 0, 0);
  return 0;
}

/* The usual way: memfds, which the loader opens by their names below /proc. 0, or the error. */
static long provide_memfds(struct handover *handover, char *preload) {
  const char *name = preload;
  for (u64 i = 0; i < table.library_count; i++) {
    const struct library *library = &table.libraries[i];
    /* Kernels from 6.3 on may want the flag (vm.memfd_noexec), earlier ones do not know it. Mapping is no matter of it. */
    long fd = SYSTEM(SYS_memfd_create, library->name, MFD_CLOEXEC | MFD_NOEXEC_SEAL, 0, 0, 0, 0);
    if (fd == -EINVAL) fd = SYSTEM(SYS_memfd_create, library->name, MFD_CLOEXEC, 0, 0, 0, 0);
    if (fd < 0) return fd;
    handover->descriptors[handover->descriptor_count++] = fd;
    long error = fill(fd, library);
    if (error) return error;
    if (i) preload = append(preload, ":");
    name = preload;
    preload = append_number(append(preload, "/proc/self/fd/"), fd);
  }
  /* The loader would end the process where a directory only looks like /proc, or no descriptor is left for it. */
  long fd = SYSTEM(SYS_openat, AT_FDCWD, name, O_CLOEXEC, 0, 0, 0);
  if (fd < 0) return fd;
  long error = probe(fd);
  SYSTEM(SYS_close, fd, 0, 0, 0, 0, 0);
  return error;
}

/* Files in the directory `at`, which the loader finds below the path `prefix`. 0, or the error. */
static long provide_files(long at, const char *prefix, char *preload) {
  for (u64 i = 0; i < table.library_count; i++) {
    const struct library *library = &table.libraries[i];
    long fd = SYSTEM(SYS_openat, at, library->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700, 0, 0);
    if (fd < 0) return fd;
    long error = fill(fd, library);
    if (!error) error = probe(fd);
    SYSTEM(SYS_close, fd, 0, 0, 0, 0, 0);
    if (error) return error;
    if (i) preload = append(preload, ":");
    preload = append(append(append(preload, prefix), "/"), library->name);
  }
  return 0;
}

/* Without /proc, with privileges: a tmpfs that is mounted nowhere, as the working directory. */
static long provide_hidden(struct handover *handover, char *preload) {
  long context = SYSTEM(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC, 0, 0, 0, 0);
  if (context < 0) return context;
  long result = SYSTEM(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0);
  if (result == 0) result = SYSTEM(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0, 0, 0, 0);
  SYSTEM(SYS_close, context, 0, 0, 0, 0, 0);
  if (result < 0) return result;
  long mount = result;
  handover->descriptors[handover->descriptor_count++] = mount;
  long home = SYSTEM(SYS_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
  if (home < 0) return home;
  handover->descriptors[handover->descriptor_count++] = home;
  result = provide_files(mount, ".", preload);
  if (result == 0) result = SYSTEM(SYS_fchdir, mount, 0, 0, 0, 0, 0);
  if (result == 0) handover->home = home;
  return result;
}

static void remove_directory(const char *directory) {
  long at = SYSTEM(SYS_openat, AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, 0, 0);
  if (at >= 0) {
    for (u64 i = 0; i < table.library_count; i++) SYSTEM(SYS_unlinkat, at, table.libraries[i].name, 0, 0, 0, 0);
    SYSTEM(SYS_close, at, 0, 0, 0, 0, 0);
  }
  SYSTEM(SYS_unlinkat, AT_FDCWD, directory, AT_REMOVEDIR, 0, 0, 0);
}

/* Without /proc and privileges: a directory of our own, removed again by `finish`. 0, or the error of the first place there is. */
static long provide_directory(struct handover *handover, char *preload) {
  static const char places[][12] = {"/dev/shm", "/run", "/tmp", "/var/tmp", ""};
  long result, reason = -ENOENT;
  for (u64 i = 0; i < sizeof(places) / sizeof(*places); i++) {
    char *end = append(append(handover->directory, places[i]), "/.vsockbox-");
    for (u64 number = unique_number(), k = 0; k < 16; k++, number >>= 4) *end++ = "0123456789abcdef"[number & 15];
    *end = 0;
    result = SYSTEM(SYS_mkdirat, AT_FDCWD, handover->directory, 0700, 0, 0, 0);
    if (reason == -ENOENT) reason = result;
    if (result < 0) continue;
    long at = SYSTEM(SYS_openat, AT_FDCWD, handover->directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, 0, 0);
    result = at < 0 ? at : provide_files(at, handover->directory, preload);
    if (at >= 0) SYSTEM(SYS_close, at, 0, 0, 0, 0, 0);
    if (result == 0) return 0;
    remove_directory(handover->directory);
    if (reason == 0) reason = result;
  }
  handover->directory[0] = 0;
  return reason;
}

static void forget_descriptors(struct handover *handover) {
  while (handover->descriptor_count > 0)
    SYSTEM(SYS_close, handover->descriptors[--handover->descriptor_count], 0, 0, 0, 0, 0);
}

static void provide(struct handover *handover) {
  char *preload = append(handover->preload, "LD_PRELOAD=");
  append(handover->library_path, "LD_LIBRARY_PATH=");
  handover->home = -1;
  handover->descriptor_count = 0;
  handover->directory[0] = 0;
  long result = SYSTEM(SYS_faccessat, AT_FDCWD, "/proc/self/fd", 0, 0, 0, 0);
  if (result == 0) {
    result = provide_memfds(handover, preload);
    if (result == 0) return;
    forget_descriptors(handover);
  }
  if (provide_hidden(handover, preload) == 0) return;
  forget_descriptors(handover);
  result = provide_directory(handover, preload);
  if (result == 0) return;
  die("its libraries need /proc (mount -t proc proc /proc), or a directory where files can be made and run: "
      "/dev/shm, /run, /tmp or /var/tmp", result);
}

/* Puts the loader into memory; gives its first address. */
static u64 map_loader(u64 page) {
  u64 base = SYSTEM(SYS_mmap, 0, table.loader_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (failed(base)) die("no memory for the dynamic loader", base);
  for (u64 i = 0; i < table.segment_count; i++) {
    const struct loader_segment *segment = &table.segments[i];
    memcpy((char *)base + segment->address, (const char *)table.data + segment->offset, segment->file_bytes);
  }
  for (u64 i = 0; i < table.segment_count; i++) {
    const struct loader_segment *segment = &table.segments[i];
    u64 begin = (base + segment->address) & -page;
    u64 end = (base + segment->address + segment->memory_bytes + page - 1) & -page;
    long error = SYSTEM(SYS_mprotect, begin, end - begin, segment->protection, 0, 0, 0);
    if (error) die("the dynamic loader may not be executed", error);
  }
  return base;
}

/*
 * The loader does not see the user's variables for loaders: what LD_PRELOAD or LD_AUDIT names is made for
 * another C library, LD_TRACE_LOADED_OBJECTS would end the process before `finish`, and GLIBC_TUNABLES changes
 * the allocator below the runtime. An empty string stands in their places while it runs; the strings themselves
 * stay as they are, and `finish` puts their addresses back.
 */
static int begins_with(const char *text, const char *prefix) {
  while (*prefix && *text == *prefix) text++, prefix++;
  return !*prefix;
}
static int is_for_loaders(const char *text) { return begins_with(text, "LD_") || begins_with(text, "GLIBC_TUNABLES="); }

/* Options of the runtime's engine. What else the runtime reads by a name with BUN_ is overwritten in the file itself. */
static int is_for_engine(const char *text) { return begins_with(text, "BUN_JSC_"); }
static int is_hidden(const char *text) { return is_for_loaders(text) || is_for_engine(text); }

/* Keeps a copy of the addresses that are hidden, where there are any. */
static void hide_loader_variables(u64 *variables, u64 count, u64 **copy, u64 *bytes) {
  u64 hidden = 0;
  for (u64 i = 0; i < count; i++) hidden += is_hidden((const char *)variables[i]);
  *copy = 0;
  *bytes = count * sizeof(u64);
  if (!hidden) return;
  u64 pages = SYSTEM(SYS_mmap, 0, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (failed(pages)) die("no memory for the environment", pages);
  *copy = (u64 *)pages;
  for (u64 i = 0; i < count; i++) {
    (*copy)[i] = variables[i];
    if (is_hidden((const char *)variables[i])) variables[i] = (u64) "";
  }
}

static void restore_loader_variables(u64 *variables, struct handover *handover) {
  if (!handover->variables) return;
  for (u64 i = 0; i < handover->variables_bytes / sizeof(u64); i++) {
    if (!is_for_engine((const char *)handover->variables[i])) *variables++ = handover->variables[i];
  }
  while (*variables) *variables++ = 0;
  SYSTEM(SYS_munmap, handover->variables, handover->variables_bytes, 0, 0, 0, 0);
}

extern char finish[] __attribute__((visibility("hidden")));

/*
 * `stack` is what the kernel made: argc, argv, 0, environment, 0, auxiliary vector. It is moved down to
 * `moved`, with two variables more. Gives the address to jump to.
 */
__attribute__((used)) u64 begin_in_c(const u64 *stack, u64 *moved) {
  u64 *to = moved;
  u64 words = 1 + stack[0] + 1;
  while (stack[words]) words++;
  for (u64 i = 0; i < words; i++) *to++ = stack[i];
  u64 before = 1 + moved[0] + 1, *copy, copy_bytes;
  hide_loader_variables(moved + before, words - before, &copy, &copy_bytes);
  u64 *variables = to;
  to += 3;
  u64 *auxiliary = to;
  u64 page = 4096, hwcap = 0;
  for (const u64 *from = stack + words + 1;; from += 2) {
    *to++ = from[0];
    *to++ = from[1];
    if (from[0] == AT_HWCAP) hwcap = from[1];
    if (from[0] == AT_PAGESZ) page = from[1];
    if (from[0] == AT_SECURE && from[1])
      die("a self-contained executable cannot have the set-user-id bit or capabilities of its own", 0);
    if (from[0] == AT_NULL) break;
  }
  require_processor(hwcap);
  wait_for_random_bytes();
  struct handover *handover = (struct handover *)to;
  handover->variables = copy;
  handover->variables_bytes = copy_bytes;
  provide(handover);
  /* The last of a name is the one that the loader takes. */
  variables[0] = (u64)handover->library_path;
  variables[1] = (u64)handover->preload;
  variables[2] = 0;
  u64 base = map_loader(page);
  for (u64 *entry = auxiliary; entry[0] != AT_NULL; entry += 2) {
    if (entry[0] == AT_BASE) entry[1] = base;
    if (entry[0] == AT_ENTRY) entry[1] = (u64)finish;
    if (entry[0] == AT_PHDR) entry[1] = table.program_headers;
    if (entry[0] == AT_PHNUM) entry[1] = table.program_header_count;
  }
  SYSTEM(SYS_munmap, table.data, table.data_bytes, 0, 0, 0, 0);
  return base + table.loader_entry;
}

/*
 * The C library learns the size of the first thread's stack from /proc/self/maps, and the program ends
 * at once where it cannot: this answers instead, where there is no /proc.
 */
struct thread_attributes { /* glibc's struct pthread_attr, the same on both architectures */
  s32 priority, policy, flags, padding;
  u64 guard_bytes, stack_top, stack_bytes, extension;
};
typedef s32 attributes_function(u64 thread, struct thread_attributes *attributes);
__attribute__((used)) s32 thread_attributes(u64 thread, struct thread_attributes *attributes) {
  s32 error = ((attributes_function *)table.attributes_function)(thread, attributes);
  /* The call may have put the real function there. */
  *(volatile u64 *)table.attributes_slot = (u64)thread_attributes;
  if (error == 0) return 0;
  attributes->priority = attributes->policy = 0;
  attributes->flags = 8; /* ATTR_FLAG_STACKADDR */
  attributes->guard_bytes = attributes->extension = 0;
  attributes->stack_top = table.stack_top;
  attributes->stack_bytes = table.stack_bytes;
  return 0;
}

static void answer_for_proc(u64 stack, u64 page) {
  if (!table.attributes_slot || SYSTEM(SYS_faccessat, AT_FDCWD, "/proc/self/maps", 0, 0, 0, 0) == 0) return;
  u64 first = (u64)&table & -page;
  u64 bytes = (((u64)&table + TABLE_BYTES + page - 1) & -page) - first;
  if (SYSTEM(SYS_mprotect, first, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0, 0)) return;
  u64 limit[2] = {0, 0};
  SYSTEM(SYS_prlimit64, 0, RLIMIT_STACK, 0, limit, 0, 0);
  table.stack_top = (stack + page) & -page;
  /* 8 MiB is what Linux gives by default; a larger one is not used by the program. */
  table.stack_bytes = (limit[0] && limit[0] < (8UL << 20) ? limit[0] : 8UL << 20) & -page;
  table.attributes_function = *(u64 *)table.attributes_slot;
  *(u64 *)table.attributes_slot = (u64)thread_attributes;
  SYSTEM(SYS_mprotect, first, bytes, PROT_READ | PROT_EXEC, 0, 0, 0);
}

/* Everything is loaded: takes the traces away, and gives the program's entry point. */
__attribute__((used)) u64 finish_in_c(u64 *stack) {
  u64 *variables = stack + 1 + stack[0] + 1;
  u64 *end = variables;
  while (*end) end++;
  u64 *auxiliary = end + 1;
  struct handover *handover = (struct handover *)end[-1];
  end[-2] = 0;
  end[-1] = 0;
  restore_loader_variables(variables, handover);
  u64 page = 4096;
  for (u64 *entry = auxiliary; entry[0] != AT_NULL; entry += 2) {
    if (entry[0] == AT_PAGESZ) page = entry[1];
    if (entry[0] == AT_ENTRY) entry[1] = table.program_entry;
  }
  if (handover->home >= 0) SYSTEM(SYS_fchdir, handover->home, 0, 0, 0, 0, 0);
  forget_descriptors(handover);
  if (handover->directory[0]) remove_directory(handover->directory);
  answer_for_proc((u64)stack, page);
  return table.program_entry;
}

/*
 * At entry the stack pointer is at argc. rdx and x0 hold a function for atexit at the loader's jump to
 * `finish`, which is passed on; at the kernel's jump to `begin` they are 0. Where they are not, somebody
 * has started a loader by hand, which has loaded the libraries: nothing is left to be done.
 */
#define TEXT(x) #x
#define VALUE(x) TEXT(x)
#if defined(__x86_64__)
__asm__(
  ".pushsection .text.begin,\"ax\"\n"
  ".globl begin\n"
  "begin:\n"
  "  test %rdx, %rdx\n"
  "  jnz 1f\n"
  "  mov %rsp, %rdi\n"
  "  lea -" VALUE(HANDOVER_BYTES) "(%rsp), %rsi\n"
  "  mov %rsi, %rsp\n"
  "  mov %rsi, %rbx\n"
  "  call begin_in_c\n"
  "  mov %rbx, %rsp\n"
  "  xor %edx, %edx\n"
  "  xor %ebx, %ebx\n"
  "  xor %ebp, %ebp\n"
  "  jmp *%rax\n"
  "1: jmp *table(%rip)\n"
  ".globl finish\n"
  ".hidden finish\n"
  "finish:\n"
  "  mov %rsp, %rdi\n"
  "  mov %rsp, %rbx\n"
  "  mov %rdx, %r12\n"
  "  call finish_in_c\n"
  "  mov %rbx, %rsp\n"
  "  mov %r12, %rdx\n"
  "  xor %ebp, %ebp\n"
  "  jmp *%rax\n"
  ".popsection\n");
#elif defined(__aarch64__)
__asm__(
  ".pushsection .text.begin,\"ax\"\n"
  ".globl begin\n"
  "begin:\n"
  "  cbnz x0, 1f\n"
  "  mov x0, sp\n"
  "  sub x1, x0, #" VALUE(HANDOVER_BYTES) "\n"
  "  mov sp, x1\n"
  "  mov x19, x1\n"
  "  bl begin_in_c\n"
  "  mov sp, x19\n"
  "  mov x16, x0\n"
  "  mov x0, #0\n"
  "  mov x29, #0\n"
  "  mov x30, #0\n"
  "  br x16\n"
  "1: adr x16, table\n"
  "  ldr x16, [x16]\n"
  "  br x16\n"
  ".globl finish\n"
  ".hidden finish\n"
  "finish:\n"
  "  mov x19, sp\n"
  "  mov x20, x0\n"
  "  mov x0, sp\n"
  "  bl finish_in_c\n"
  "  mov sp, x19\n"
  "  mov x16, x0\n"
  "  mov x0, x20\n"
  "  mov x29, #0\n"
  "  mov x30, #0\n"
  "  br x16\n"
  ".popsection\n");
#endif
__asm__(
  ".pushsection .table,\"a\"\n"
  ".globl table\n"
  ".hidden table\n"
  "table: .zero " VALUE(TABLE_BYTES) "\n"
  ".popsection\n");
