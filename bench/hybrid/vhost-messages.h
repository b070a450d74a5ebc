/*
 * The VMM's side of vhost-user, which gives the device memory and rings of vhost-ring.h: QEMU's
 * docs/interop/vhost-user.rst. A message is u32 request, u32 flags, u32 size, payload.
 */
#include <linux/virtio_config.h>
#include <sys/socket.h>
#include <sys/un.h>

static int vmm;

enum {
  GET_FEATURES = 1,
  SET_FEATURES = 2,
  SET_OWNER = 3,
  SET_MEM_TABLE = 5,
  SET_VRING_NUM = 8,
  SET_VRING_ADDR = 9,
  SET_VRING_BASE = 10,
  GET_VRING_BASE = 11,
  SET_VRING_KICK = 12,
  SET_VRING_CALL = 13,
  GET_PROTOCOL_FEATURES = 15,
  SET_PROTOCOL_FEATURES = 16,
  SET_VRING_ENABLE = 18,
};

#define VHOST_USER_F_PROTOCOL_FEATURES 30
#define PROTOCOL_F_MQ 0
#define PROTOCOL_F_CONFIG 9

static void request(uint32_t number, const void *payload, uint32_t bytes, int fd) {
  uint32_t header[3] = {number, 1, bytes};
  struct iovec pieces[2] = {{header, sizeof header}, {(void *)payload, bytes}};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control = {0};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = bytes > 0 ? 2 : 1};
  if (fd >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  if (sendmsg(vmm, &message, 0) != (ssize_t)(sizeof header + bytes)) fail("send to the device");
}

static void request_u64(uint32_t number, uint64_t value) {
  request(number, &value, sizeof value, -1);
}

static void request_state(uint32_t number, uint32_t ring, uint32_t value) {
  uint32_t state[2] = {ring, value};
  request(number, state, sizeof state, -1);
}

static uint64_t answer(uint32_t number) {
  struct {
    uint32_t header[3];
    uint64_t value;
  } __attribute__((packed)) reply;
  if (recv(vmm, &reply, sizeof reply, MSG_WAITALL) != sizeof reply) fail("answer of the device");
  if (reply.header[0] != number) give_up("an answer to something else");
  return reply.value;
}

static uint64_t ask(uint32_t number) {
  request(number, NULL, 0, -1);
  return answer(number);
}

static void start_ring(uint32_t index) {
  struct ring *ring = &rings[index];
  request_state(SET_VRING_NUM, index, ring->entries);
  request_state(SET_VRING_BASE, index, 0);
  struct {
    uint32_t index, flags;
    uint64_t descriptors, used, available, log;
  } addresses = {
      index, 0, (uintptr_t)ring->descriptors, (uintptr_t)ring->used, (uintptr_t)ring->available, 0,
  };
  request(SET_VRING_ADDR, &addresses, sizeof addresses, -1);
  uint64_t value = index;
  request(SET_VRING_CALL, &value, sizeof value, ring->call);
  request(SET_VRING_KICK, &value, sizeof value, ring->kick);
  request_state(SET_VRING_ENABLE, index, 1);
}

static void attach(const char *path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof name.sun_path) give_up("the path is too long");
  strcpy(name.sun_path, path);
  vmm = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (vmm < 0 || connect(vmm, (struct sockaddr *)&name, sizeof name) < 0) fail(path);
  uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
                      1ull << VHOST_USER_F_PROTOCOL_FEATURES;
  if ((ask(GET_FEATURES) & features) != features) give_up("the device lacks a feature");
  ask(GET_PROTOCOL_FEATURES);
  request_u64(SET_PROTOCOL_FEATURES, 1 << PROTOCOL_F_MQ | 1 << PROTOCOL_F_CONFIG);
  request(SET_OWNER, NULL, 0, -1);
  request_u64(SET_FEATURES, features);
  struct {
    uint32_t count, padding;
    uint64_t guest, size, user, offset;
  } table = {1, 0, 0, memory_bytes, (uintptr_t)memory, 0};
  request(SET_MEM_TABLE, &table, sizeof table, memory_fd);
  for (uint32_t index = 0; index < RINGS; index++) start_ring(index);
  /* Its answer comes when all before is done. */
  ask(GET_FEATURES);
}

static void detach(void) {
  for (uint32_t index = 0; index < RINGS; index++) {
    request_state(GET_VRING_BASE, index, 0);
    answer(GET_VRING_BASE);
  }
  close(vmm);
}
