/*
 * The guest's memory and the driver's side of its rings: virtio 1.2, section 2.7. For vhost-driver.c,
 * which sets `memory` and its size.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "vhost-driver: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void give_up(const char *what) {
  fprintf(stderr, "vhost-driver: %s\n", what);
  exit(1);
}

/* Memory: one region that begins at the guest's address 0. */

static uint8_t *memory;
static size_t memory_bytes, memory_used;
static int memory_fd;

static void *allocate(size_t bytes) {
  memory_used = (memory_used + 4095) & ~(size_t)4095;
  void *at = memory + memory_used;
  memory_used += bytes;
  if (memory_used > memory_bytes) give_up("out of memory");
  return at;
}

static uint64_t guest_address(const void *at) { return (const uint8_t *)at - memory; }

/* Rings: slot s has the descriptors 2s, a header, and 2s + 1, its payload. */

struct ring {
  unsigned entries, slots;
  struct vring_desc *descriptors;
  struct vring_avail *available;
  struct vring_used *used;
  /* Behind the used ring: the offered entry with which the device wants a kick. */
  uint16_t *available_event;
  struct virtio_vsock_hdr *headers;
  int kick, call;
  /* Next in the available ring, what of it the device has been shown, next in the used ring. */
  uint16_t offered, shown, taken;
  uint16_t *free_slots;
  unsigned free_count;
};

enum { RX, TX, RINGS };
static struct ring rings[RINGS];

static void make_ring(struct ring *ring, unsigned entries, size_t payload_bytes, int is_rx) {
  ring->entries = entries;
  ring->slots = entries / 2;
  ring->descriptors = allocate(sizeof(struct vring_desc) * entries);
  ring->available = allocate(6 + 2 * entries);
  ring->used = allocate(6 + 8 * entries);
  ring->available_event = (void *)((uint8_t *)ring->used + 4 + 8 * entries);
  ring->headers = allocate(sizeof(struct virtio_vsock_hdr) * ring->slots);
  ring->free_slots = calloc(ring->slots, sizeof(uint16_t));
  uint8_t *payload = allocate(payload_bytes * ring->slots);
  uint16_t flags = is_rx ? VRING_DESC_F_WRITE : 0;
  for (unsigned slot = 0; slot < ring->slots; slot++) {
    struct vring_desc *pair = ring->descriptors + 2 * slot;
    pair[0].addr = guest_address(ring->headers + slot);
    pair[0].len = sizeof(struct virtio_vsock_hdr);
    pair[0].flags = flags | VRING_DESC_F_NEXT;
    pair[0].next = 2 * slot + 1;
    pair[1].addr = guest_address(payload + payload_bytes * slot);
    pair[1].len = payload_bytes;
    pair[1].flags = flags;
    ring->free_slots[ring->free_count++] = slot;
  }
  ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (ring->kick < 0 || ring->call < 0) fail("eventfd");
}

static void offer(struct ring *ring, unsigned slot) {
  ring->available->ring[ring->offered & (ring->entries - 1)] = 2 * slot;
  ring->offered++;
}

/* Shows the device what was offered, and kicks it where it asked for that. */
static void publish(struct ring *ring) {
  if (ring->offered == ring->shown) return;
  uint16_t before = ring->shown;
  __atomic_store_n(&ring->available->idx, ring->offered, __ATOMIC_RELEASE);
  ring->shown = ring->offered;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  uint16_t event = __atomic_load_n(ring->available_event, __ATOMIC_RELAXED);
  if (!vring_need_event(event, ring->offered, before)) return;
  uint64_t one = 1;
  if (write(ring->kick, &one, sizeof one) < 0 && errno != EAGAIN) fail("kick");
}

static int has_used(const struct ring *ring) {
  return __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) != ring->taken;
}

static unsigned take_used(struct ring *ring) {
  unsigned head = ring->used->ring[ring->taken & (ring->entries - 1)].id;
  ring->taken++;
  if (head >= ring->entries || head % 2 != 0) give_up("the device gave back no head");
  return head / 2;
}

/* Asks for a call with the next used entry; true where one is there already. */
static int arm(struct ring *ring) {
  ring->available->ring[ring->entries] = ring->taken;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return has_used(ring);
}
