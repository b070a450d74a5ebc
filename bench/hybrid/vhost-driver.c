/*
 * A VMM and a guest's vsock driver in one program, without a guest: it speaks vhost-user to a vsock
 * device and works on its rings at this machine's own speed, which an emulated guest hides.
 *
 *   vhost-driver SOCKET CID [ENTRIES]
 *
 * What the guest would run is here too: servers on ports 1000 (sink), 1001 (source), 1002 (echo) and
 * 1003 (accept), as `load serve` has them. "connect PORT COUNT" on standard input connects to that
 * port of the host, one after the other, and prints the seconds that it took. It prints "ready" when
 * the device is set up, and ends with standard input.
 *
 * Rings, packets and credit are what Linux 6.1 makes of them under QEMU: rings of 128 entries, a
 * header's and a payload's descriptor for a packet, 4 KiB of payload for a packet to the guest and up
 * to 64 KiB for one from it, 256 KiB of buffer for a connection, and news of its room when less than
 * 64 KiB of it are known to be free. It sleeps while there is nothing to do and asks to be woken
 * through the event index, as a guest does.
 *
 * Sources: virtio 1.2 sections 2.7 and 5.10, QEMU's docs/interop/vhost-user.rst, linux/vhost.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vhost-ring.h"
#include "vhost-messages.h"

/* Linux 6.1, include/linux/virtio_vsock.h and net/vmw_vsock/af_vsock.c. */
#define RX_PAYLOAD_BYTES 4096
#define TX_PAYLOAD_BYTES (64 * 1024)
#define GUEST_BUFFER_BYTES (256 * 1024)

/* VHOST_VSOCK_QUEUE_SIZE of QEMU's hw/virtio/vhost-vsock-common.c. */
#define DEFAULT_ENTRIES 128

#define HOST_CID 2
#define FIRST_PORT 1000

/* Slots that payload leaves to packets without one. */
#define SPARE_SLOTS 4

/* Connections. */

enum kind { SINK, SOURCE, ECHO, ACCEPT, CLIENT };

struct connection {
  enum kind kind;
  uint32_t host_port, guest_port;
  uint32_t peer_room, peer_forwarded, sent;
  uint32_t forwarded, forwarded_told;
  /* The first 8 bytes are an amount. */
  unsigned amount_bytes;
  uint64_t amount;
  /* Bytes that are to be sent. */
  uint64_t owed;
  uint8_t echoed[TX_PAYLOAD_BYTES];
  unsigned echo_begin, echo_count;
  int closing, shutdown;
};

#define MAX_CONNECTIONS 4096
static struct connection *connections[MAX_CONNECTIONS];
static unsigned connection_count;
static uint64_t guest_cid;

static struct connection *find(uint32_t host_port, uint32_t guest_port) {
  for (unsigned index = connection_count; index-- > 0;) {
    struct connection *one = connections[index];
    if (one->host_port == host_port && one->guest_port == guest_port) return one;
  }
  return NULL;
}

static struct connection *spare;

static struct connection *add(enum kind kind, uint32_t host_port, uint32_t guest_port) {
  if (connection_count == MAX_CONNECTIONS) give_up("too many connections");
  struct connection *one = spare != NULL ? spare : malloc(sizeof *one);
  spare = NULL;
  memset(one, 0, offsetof(struct connection, echoed));
  one->echo_begin = one->echo_count = 0;
  one->closing = one->shutdown = 0;
  one->kind = kind;
  one->host_port = host_port;
  one->guest_port = guest_port;
  connections[connection_count++] = one;
  return one;
}

static void drop(struct connection *one) {
  for (unsigned index = 0; index < connection_count; index++) {
    if (connections[index] != one) continue;
    connections[index] = connections[--connection_count];
    break;
  }
  if (spare == NULL) spare = one;
  else free(one);
}

/* Packets without payload wait here while all slots are in use. */
struct word {
  uint32_t host_port, guest_port, forwarded, flags;
  uint16_t op;
};
#define MAX_WORDS 16384
static struct word words[MAX_WORDS];
static unsigned words_begin, words_count;

static void put(unsigned slot, const struct word *word, uint32_t bytes) {
  struct ring *ring = &rings[TX];
  struct virtio_vsock_hdr *header = &ring->headers[slot];
  *header = (struct virtio_vsock_hdr){
      .src_cid = guest_cid,
      .dst_cid = HOST_CID,
      .src_port = word->guest_port,
      .dst_port = word->host_port,
      .len = bytes,
      .type = VIRTIO_VSOCK_TYPE_STREAM,
      .op = word->op,
      .flags = word->flags,
      .buf_alloc = GUEST_BUFFER_BYTES,
      .fwd_cnt = word->forwarded,
  };
  struct vring_desc *pair = ring->descriptors + 2 * slot;
  pair[0].flags = bytes > 0 ? VRING_DESC_F_NEXT : 0;
  pair[1].len = bytes;
  offer(ring, slot);
}

static void say(struct connection *one, uint16_t op, uint32_t flags) {
  if (words_count == MAX_WORDS) give_up("too many packets wait");
  one->forwarded_told = one->forwarded;
  words[(words_begin + words_count++) % MAX_WORDS] =
      (struct word){one->host_port, one->guest_port, one->forwarded, flags, op};
}

static void flush_words(void) {
  struct ring *ring = &rings[TX];
  while (words_count > 0 && ring->free_count > 0) {
    put(ring->free_slots[--ring->free_count], &words[words_begin], 0);
    words_begin = (words_begin + 1) % MAX_WORDS;
    words_count--;
  }
}

static int send_owed(struct connection *one) {
  struct ring *ring = &rings[TX];
  int moved = 0;
  while (one->owed > 0 && ring->free_count > SPARE_SLOTS && words_count == 0) {
    uint32_t credit = one->peer_room - (one->sent - one->peer_forwarded);
    if (credit > one->peer_room) give_up("the device took more than was sent");
    uint64_t bytes = one->owed;
    if (bytes > credit) bytes = credit;
    if (bytes > TX_PAYLOAD_BYTES) bytes = TX_PAYLOAD_BYTES;
    if (bytes == 0) break;
    unsigned slot = ring->free_slots[--ring->free_count];
    if (one->kind == ECHO) {
      uint8_t *payload = memory + ring->descriptors[2 * slot + 1].addr;
      for (uint64_t at = 0; at < bytes; at++) {
        payload[at] = one->echoed[(one->echo_begin + at) % sizeof one->echoed];
      }
      one->echo_begin = (one->echo_begin + bytes) % sizeof one->echoed;
      one->echo_count -= bytes;
    }
    one->forwarded_told = one->forwarded;
    put(slot,
        &(struct word){one->host_port, one->guest_port, one->forwarded, 0, VIRTIO_VSOCK_OP_RW},
        bytes);
    one->sent += bytes;
    one->owed -= bytes;
    moved = 1;
  }
  return moved;
}

static void on_amount(struct connection *one) {
  if (one->kind == SOURCE) one->owed = one->amount;
}

static void on_data(struct connection *one, const uint8_t *payload, uint32_t bytes) {
  one->forwarded += bytes;
  if (one->kind == SINK || one->kind == SOURCE) {
    while (one->amount_bytes < 8 && bytes > 0) {
      one->amount |= (uint64_t)*payload++ << (8 * one->amount_bytes++);
      bytes--;
      if (one->amount_bytes == 8) on_amount(one);
    }
    if (one->kind == SINK && bytes > 0) {
      if (bytes > one->amount) give_up("more came than was announced");
      one->amount -= bytes;
      if (one->amount == 0) one->owed = 1;
    }
  } else if (one->kind == ECHO) {
    if (one->echo_count + bytes > sizeof one->echoed) give_up("an echo of more than 64 KiB");
    for (uint32_t at = 0; at < bytes; at++) {
      one->echoed[(one->echo_begin + one->echo_count + at) % sizeof one->echoed] = payload[at];
    }
    one->echo_count += bytes;
    one->owed += bytes;
  }
  uint32_t known = GUEST_BUFFER_BYTES - (one->forwarded - one->forwarded_told);
  if (known < TX_PAYLOAD_BYTES) say(one, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
}

/* Connects to the host, one after the other. */

static uint64_t connects_left;
static uint32_t connects_port, next_guest_port = 0x40000000;
static struct timespec connects_began;

static void next_connect(void) {
  if (connects_left-- > 0) {
    say(add(CLIENT, connects_port, next_guest_port++), VIRTIO_VSOCK_OP_REQUEST, 0);
    return;
  }
  connects_left = 0;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("%.6f\n",
         (now.tv_sec - connects_began.tv_sec) + (now.tv_nsec - connects_began.tv_nsec) / 1e9);
}

#define SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static void close_connection(struct connection *one) {
  if (one->closing) return;
  one->closing = 1;
  say(one, VIRTIO_VSOCK_OP_SHUTDOWN, SHUTDOWN_BOTH);
}

static void on_packet(const struct virtio_vsock_hdr *header, const uint8_t *payload) {
  if (header->src_cid != HOST_CID || header->dst_cid != guest_cid) return;
  struct connection *one = find(header->src_port, header->dst_port);
  if (one == NULL) {
    if (header->op == VIRTIO_VSOCK_OP_RST || header->op == VIRTIO_VSOCK_OP_INVALID) return;
    unsigned index = header->dst_port - FIRST_PORT;
    int is_request = header->op == VIRTIO_VSOCK_OP_REQUEST && index < CLIENT;
    one = add(is_request ? (enum kind)index : CLIENT, header->src_port, header->dst_port);
    if (is_request) {
      one->peer_room = header->buf_alloc;
      one->peer_forwarded = header->fwd_cnt;
      say(one, VIRTIO_VSOCK_OP_RESPONSE, 0);
    } else {
      say(one, VIRTIO_VSOCK_OP_RST, 0);
      drop(one);
    }
    return;
  }
  one->peer_room = header->buf_alloc;
  one->peer_forwarded = header->fwd_cnt;
  switch (header->op) {
    case VIRTIO_VSOCK_OP_RW:
      if (header->len > RX_PAYLOAD_BYTES) give_up("a packet is larger than its buffer");
      if (!one->closing) on_data(one, payload, header->len);
      return;
    case VIRTIO_VSOCK_OP_RESPONSE:
      close_connection(one);
      next_connect();
      return;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
      say(one, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
      return;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
      one->shutdown |= header->flags;
      if ((one->shutdown & SHUTDOWN_BOTH) == SHUTDOWN_BOTH) {
        say(one, VIRTIO_VSOCK_OP_RST, 0);
        drop(one);
      } else if (one->shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) {
        close_connection(one);
      }
      return;
    case VIRTIO_VSOCK_OP_RST:
      if (one->kind == CLIENT && !one->closing) give_up("the host refused a connection");
      drop(one);
      return;
    default:
      return;
  }
}

static int receive(void) {
  struct ring *ring = &rings[RX];
  int moved = 0;
  while (has_used(ring)) {
    unsigned slot = take_used(ring);
    on_packet(&ring->headers[slot], memory + ring->descriptors[2 * slot + 1].addr);
    ring->free_slots[ring->free_count++] = slot;
    moved = 1;
  }
  /* As Linux: in lots of half the ring. */
  if (ring->free_count < ring->slots / 2) return moved;
  while (ring->free_count > 0) {
    unsigned slot = ring->free_slots[--ring->free_count];
    memset(&ring->headers[slot], 0, sizeof ring->headers[slot]);
    offer(ring, slot);
  }
  return 1;
}

static int transmit(void) {
  struct ring *ring = &rings[TX];
  int moved = 0;
  while (has_used(ring)) {
    ring->free_slots[ring->free_count++] = take_used(ring);
    moved = 1;
  }
  flush_words();
  for (unsigned index = 0; index < connection_count; index++) {
    moved |= send_owed(connections[index]);
  }
  return moved;
}

/* False at the end of the input. */
static int on_line(void) {
  char line[64];
  ssize_t count = read(0, line, sizeof line - 1);
  if (count <= 0) return 0;
  line[count] = 0;
  if (sscanf(line, "connect %u %lu", &connects_port, &connects_left) != 2) give_up("no command");
  clock_gettime(CLOCK_MONOTONIC, &connects_began);
  next_connect();
  return 1;
}

static void clear(int fd) {
  uint64_t count;
  if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN) fail("eventfd");
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  guest_cid = strtoul(argv[2], NULL, 10);
  unsigned entries = argc > 3 ? strtoul(argv[3], NULL, 10) : DEFAULT_ENTRIES;
  if (entries < 16 || entries > 32768 || (entries & (entries - 1)) != 0) return 2;
  memory_bytes = 1024 * 1024 + (size_t)entries * (TX_PAYLOAD_BYTES + RX_PAYLOAD_BYTES + 256);
  memory_bytes = (memory_bytes + 4095) & ~(size_t)4095;
  memory_fd = memfd_create("guest", MFD_CLOEXEC);
  if (memory_fd < 0 || ftruncate(memory_fd, memory_bytes) < 0) fail("memfd");
  memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory_fd, 0);
  if (memory == MAP_FAILED) fail("mmap");
  make_ring(&rings[RX], entries, RX_PAYLOAD_BYTES, 1);
  make_ring(&rings[TX], entries, TX_PAYLOAD_BYTES, 0);
  attach(argv[1]);
  receive();
  publish(&rings[RX]);
  puts("ready");
  for (;;) {
    int moved = receive() | transmit();
    publish(&rings[TX]);
    publish(&rings[RX]);
    if (moved) continue;
    int is_waiting = arm(&rings[RX]) | arm(&rings[TX]);
    if (is_waiting) continue;
    struct pollfd watched[] = {
        {rings[RX].call, POLLIN, 0}, {rings[TX].call, POLLIN, 0}, {0, POLLIN, 0}, {vmm, POLLIN, 0}};
    if (poll(watched, 4, -1) < 0 && errno != EINTR) fail("poll");
    if (watched[0].revents) clear(rings[RX].call);
    if (watched[1].revents) clear(rings[TX].call);
    if (watched[3].revents) give_up("the device has gone");
    if (watched[2].revents && !on_line()) break;
  }
  detach();
  return 0;
}
