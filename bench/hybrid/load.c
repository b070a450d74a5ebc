/*
 * The two ends of the traffic that bench/hybrid.ts sends through a vsock device: servers in the guest,
 * clients on the host, and the other way round. One static program, so that it runs in an empty guest.
 *
 *   load serve ADDRESS            servers on the port and the three behind it: sink, source, echo, accept
 *   load accept ADDRESS           takes connections and closes each when its client does
 *   load send ADDRESS BYTES       to a sink; until its one byte of answer
 *   load receive ADDRESS BYTES    from a source
 *   load ping ADDRESS COUNT       one byte to an echo and back, one after the other
 *   load connect ADDRESS COUNT    to an accept, one after the other
 *
 * ADDRESS is vsock:CID:PORT, unix:PATH, or hybrid:PATH:PORT (a Unix socket and its CONNECT line).
 * Clients print the seconds that it took. What is to be moved is told first, as a u64 of 8 bytes in
 * the machine's order: the end of a stream is not relied upon.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Four times what the device moves at once. */
#define BUFFER_BYTES (256 * 1024)
#define BACKLOG 1024

static char buffer[BUFFER_BYTES];

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

struct address {
  int family;
  socklen_t bytes;
  /* Of a hybrid address: what CONNECT names; otherwise -1. */
  long line_port;
  union {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_vm vm;
  } name;
};

static struct address parse(const char *text) {
  struct address address = {.line_port = -1};
  unsigned cid, port;
  if (sscanf(text, "vsock:%u:%u", &cid, &port) == 2) {
    /* The machine's own vsock may be somebody else's: only a guest says that its own may be used. */
    if (getenv("LOAD_VSOCK") == NULL) {
      fprintf(stderr, "load: vsock addresses need LOAD_VSOCK=1, which is for guests\n");
      exit(2);
    }
    address.family = AF_VSOCK;
    address.bytes = sizeof address.name.vm;
    address.name.vm.svm_family = AF_VSOCK;
    address.name.vm.svm_cid = cid;
    address.name.vm.svm_port = port;
    return address;
  }
  const char *path = strchr(text, ':');
  if (path == NULL) exit(2);
  size_t length = strlen(++path);
  if (strncmp(text, "hybrid:", 7) == 0) {
    const char *last = strrchr(path, ':');
    if (last == NULL) exit(2);
    address.line_port = atol(last + 1);
    length = last - path;
  }
  if (length >= sizeof address.name.local.sun_path) exit(2);
  address.family = AF_UNIX;
  address.name.local.sun_family = AF_UNIX;
  memcpy(address.name.local.sun_path, path, length);
  address.bytes = offsetof(struct sockaddr_un, sun_path) + length + 1;
  return address;
}

static int open_socket(const struct address *address) {
  int fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  return fd;
}

/* Where more comes than is asked for, it stays in the socket. */
static size_t read_some(int fd, void *target, size_t bytes) {
  for (;;) {
    ssize_t count = read(fd, target, bytes);
    if (count >= 0) return count;
    if (errno == ECONNRESET) return 0;
    if (errno != EINTR) fail("read");
  }
}

static int read_all(int fd, void *target, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    size_t count = read_some(fd, (char *)target + done, bytes - done);
    if (count == 0) return 0;
    done += count;
  }
  return 1;
}

static int write_all(int fd, const void *source, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t count = write(fd, (const char *)source + done, bytes - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 0;
    done += count;
  }
  return 1;
}

static int dial(const struct address *address) {
  int fd = open_socket(address);
  if (connect(fd, &address->name.any, address->bytes) < 0) fail("connect");
  if (address->line_port < 0) return fd;
  char line[32];
  int length = snprintf(line, sizeof line, "CONNECT %ld\n", address->line_port);
  if (!write_all(fd, line, length)) fail("CONNECT");
  for (size_t at = 0;; at++) {
    if (at == sizeof line || !read_all(fd, line + at, 1)) {
      fprintf(stderr, "load: no OK for port %ld\n", address->line_port);
      exit(1);
    }
    if (line[at] == '\n') break;
  }
  if (memcmp(line, "OK ", 3) != 0) exit(1);
  return fd;
}

/* Servers: one connection after the other. */

static void sink(int fd) {
  uint64_t left;
  if (!read_all(fd, &left, sizeof left)) return;
  while (left > 0) {
    size_t count = read_some(fd, buffer, sizeof buffer);
    if (count == 0) return;
    left -= count;
  }
  write_all(fd, "", 1);
  while (read_some(fd, buffer, sizeof buffer) > 0) continue;
}

static void source(int fd) {
  uint64_t left;
  if (!read_all(fd, &left, sizeof left)) return;
  while (left > 0) {
    size_t count = left < sizeof buffer ? left : sizeof buffer;
    if (!write_all(fd, buffer, count)) return;
    left -= count;
  }
  while (read_some(fd, buffer, sizeof buffer) > 0) continue;
}

static void echo(int fd) {
  for (;;) {
    size_t count = read_some(fd, buffer, sizeof buffer);
    if (count == 0 || !write_all(fd, buffer, count)) return;
  }
}

static void wait_for_end(int fd) {
  while (read_some(fd, buffer, sizeof buffer) > 0) continue;
}

static void serve(struct address address, void (*handle)(int)) {
  int listener = open_socket(&address);
  if (bind(listener, &address.name.any, address.bytes) < 0) fail("bind");
  if (listen(listener, BACKLOG) < 0) fail("listen");
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) fail("accept");
    handle(fd);
    close(fd);
  }
}

static void serve_all(struct address address) {
  void (*const handlers[])(int) = {sink, source, echo, wait_for_end};
  if (address.family != AF_VSOCK) exit(2);
  for (int index = 0; index < 3; index++, address.name.vm.svm_port++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) serve(address, handlers[index]);
  }
  serve(address, handlers[3]);
}

/* Clients. */

static void send_bytes(const struct address *address, uint64_t bytes) {
  int fd = dial(address);
  if (!write_all(fd, &bytes, sizeof bytes)) fail("write");
  for (uint64_t left = bytes; left > 0;) {
    size_t count = left < sizeof buffer ? left : sizeof buffer;
    if (!write_all(fd, buffer, count)) fail("write");
    left -= count;
  }
  if (!read_all(fd, buffer, 1)) fail("answer");
  close(fd);
}

static void receive_bytes(const struct address *address, uint64_t bytes) {
  int fd = dial(address);
  if (!write_all(fd, &bytes, sizeof bytes)) fail("write");
  for (uint64_t left = bytes; left > 0;) {
    size_t count = read_some(fd, buffer, left < sizeof buffer ? left : sizeof buffer);
    if (count == 0) fail("read: the end came early");
    left -= count;
  }
  close(fd);
}

static void ping(const struct address *address, uint64_t count) {
  int fd = dial(address);
  for (uint64_t index = 0; index < count; index++) {
    char byte = (char)index, back;
    if (!write_all(fd, &byte, 1) || !read_all(fd, &back, 1)) fail("ping");
    if (byte != back) exit(1);
  }
  close(fd);
}

static void connect_often(const struct address *address, uint64_t count) {
  for (uint64_t index = 0; index < count; index++) close(dial(address));
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  signal(SIGPIPE, SIG_IGN);
  struct address address = parse(argv[2]);
  if (strcmp(argv[1], "serve") == 0) serve_all(address);
  if (strcmp(argv[1], "accept") == 0) serve(address, wait_for_end);
  if (argc < 4) return 2;
  uint64_t amount = strtoull(argv[3], NULL, 10);
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  if (strcmp(argv[1], "send") == 0) send_bytes(&address, amount);
  else if (strcmp(argv[1], "receive") == 0) receive_bytes(&address, amount);
  else if (strcmp(argv[1], "ping") == 0) ping(&address, amount);
  else if (strcmp(argv[1], "connect") == 0) connect_often(&address, amount);
  else return 2;
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%.6f\n", (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) / 1e9);
  return 0;
}
