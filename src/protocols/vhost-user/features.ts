/** Features that a device offers to a driver and to its VMM. */

/** Virtio and vhost feature bits that a vsock device has to do with. */
export const Feature = {
  /** virtio 1.2, 5.10.3: VIRTIO_VSOCK_F_STREAM. */
  Stream: 1n << 0n,
  /** virtio 1.2, 5.10.3: VIRTIO_VSOCK_F_SEQPACKET. */
  Seqpacket: 1n << 1n,
  /** virtio 1.2, 6.3, for legacy drivers: VIRTIO_F_NOTIFY_ON_EMPTY. */
  NotifyOnEmpty: 1n << 24n,
  /** virtio 1.2, 6: VIRTIO_F_INDIRECT_DESC. */
  IndirectDescriptors: 1n << 28n,
  /** virtio 1.2, 6: VIRTIO_F_EVENT_IDX. */
  EventIndex: 1n << 29n,
  /** Section "Protocol features": VHOST_USER_F_PROTOCOL_FEATURES. */
  ProtocolFeatures: 1n << 30n,
  /** virtio 1.2, 6: VIRTIO_F_VERSION_1. */
  Version1: 1n << 32n,
} as const;

/** Protocol feature bits; section "Protocol features". */
export const ProtocolFeature = {
  /** VHOST_USER_PROTOCOL_F_MQ: without it a VMM does not ask for the count of rings. */
  MultipleQueues: 1n << 0n,
  /** VHOST_USER_PROTOCOL_F_REPLY_ACK. */
  ReplyAck: 1n << 3n,
  /** VHOST_USER_PROTOCOL_F_BACKEND_REQ. */
  BackendRequests: 1n << 5n,
  /** VHOST_USER_PROTOCOL_F_CONFIG. */
  Config: 1n << 9n,
  /** VHOST_USER_PROTOCOL_F_RESET_DEVICE. */
  ResetDevice: 1n << 13n,
  /** VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS. */
  ConfigureMemSlots: 1n << 15n,
  /** VHOST_USER_PROTOCOL_F_STATUS. */
  Status: 1n << 16n,
} as const;

/** Features that are offered by default. */
export const DEFAULT_FEATURES =
  Feature.Version1 |
  Feature.Seqpacket |
  Feature.EventIndex |
  Feature.NotifyOnEmpty |
  Feature.ProtocolFeatures;

/** Protocol features that are offered by default. */
export const DEFAULT_PROTOCOL_FEATURES =
  ProtocolFeature.MultipleQueues |
  ProtocolFeature.ReplyAck |
  // For Linux as a VMM, virtio_uml: it has no interrupt without. Nothing is ever asked of it.
  ProtocolFeature.BackendRequests |
  ProtocolFeature.Config |
  ProtocolFeature.ConfigureMemSlots;
