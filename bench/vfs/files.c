/*
 * files STEP DIR [AMOUNT]: one step of the measurement of a shared directory, run in the guest. Prints the
 * seconds that it took. Steps that read expect what a step before them has written; the caller drops the
 * caches between them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1024 * 1024)
#define PAGE 4096
#define SMALL 1024
/* Pages of the file that random access is spread over: that of the sequential steps. */
#define SPREAD 16384

static char buffer[BLOCK];

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static int open_file(const char *name, int flags) {
  int fd = open(name, flags, 0644);
  if (fd < 0) fail(name);
  return fd;
}

static void write_all(int fd, size_t length) {
  if (write(fd, buffer, length) != (ssize_t)length) fail("write");
}

static void write_blocks(long mib) {
  int fd = open_file("bulk", O_CREAT | O_TRUNC | O_WRONLY);
  for (long block = 0; block < mib; block++) write_all(fd, BLOCK);
  if (fsync(fd) != 0) fail("fsync");
  close(fd);
}

static void read_blocks(long mib) {
  int fd = open_file("bulk", O_RDONLY);
  long total = 0;
  ssize_t count;
  while ((count = read(fd, buffer, BLOCK)) > 0) total += count;
  if (count < 0 || total != mib * BLOCK) fail("read");
  close(fd);
}

static off_t random_offset(void) { return (off_t)(random() % SPREAD) * PAGE; }

static void read_random(long count) {
  int fd = open_file("bulk", O_RDONLY);
  for (long index = 0; index < count; index++) {
    if (pread(fd, buffer, PAGE, random_offset()) != PAGE) fail("pread");
  }
  close(fd);
}

static void write_random(long count) {
  int fd = open_file("bulk", O_WRONLY);
  for (long index = 0; index < count; index++) {
    if (pwrite(fd, buffer, PAGE, random_offset()) != PAGE) fail("pwrite");
  }
  if (fsync(fd) != 0) fail("fsync");
  close(fd);
}

static const char *name_of(long index) {
  static char name[32];
  snprintf(name, sizeof name, "small/%ld", index);
  return name;
}

static void create_files(long count) {
  if (mkdir("small", 0755) != 0) fail("small");
  for (long index = 0; index < count; index++) {
    int fd = open_file(name_of(index), O_CREAT | O_EXCL | O_WRONLY);
    write_all(fd, SMALL);
    close(fd);
  }
}

static void read_files(long count) {
  for (long index = 0; index < count; index++) {
    int fd = open_file(name_of(index), O_RDONLY);
    if (read(fd, buffer, BLOCK) != SMALL) fail("read");
    close(fd);
  }
}

static void stat_files(long count) {
  struct stat status;
  for (long index = 0; index < count; index++) {
    if (stat(name_of(index), &status) != 0 || status.st_size != SMALL) fail("stat");
  }
}

/* What `ls -l` does. */
static void list_files(long count) {
  DIR *directory = opendir("small");
  if (directory == NULL) fail("small");
  long found = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    struct stat status;
    if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) fail("fstatat");
    if (S_ISREG(status.st_mode)) found++;
  }
  closedir(directory);
  if (found != count) fail("files are missing");
}

static void remove_files(long count) {
  for (long index = 0; index < count; index++) {
    if (unlink(name_of(index)) != 0) fail("unlink");
  }
  if (rmdir("small") != 0) fail("rmdir");
}

static const struct {
  const char *name;
  void (*run)(long);
} steps[] = {
    {"write", write_blocks},        {"read", read_blocks},  {"read-random", read_random},
    {"write-random", write_random}, {"create", create_files}, {"read-files", read_files},
    {"stat", stat_files},           {"list", list_files},   {"remove", remove_files},
};

int main(int argc, char **argv) {
  if (argc != 4 || chdir(argv[2]) != 0) fail("files STEP DIR AMOUNT");
  memset(buffer, 'x', sizeof buffer);
  for (size_t index = 0; index < sizeof steps / sizeof *steps; index++) {
    if (strcmp(steps[index].name, argv[1]) != 0) continue;
    double begin = now();
    steps[index].run(atol(argv[3]));
    printf("%.6f\n", now() - begin);
    return 0;
  }
  errno = EINVAL;
  fail(argv[1]);
}
