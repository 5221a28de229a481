"""Every domain-separation label of the suite: unique, and none a prefix of another (tested).

A label is the first thing in the `info` of its derivation, or the BLAKE2s `person` where it is 8 bytes.
Fixed-width fields follow a label directly, so two derivations can only meet if their labels do.
"""

PHRASE_KEY = b"hushtag-v1/phrase-key"  # stretch || device secret -> the OPAQUE password
CREDENTIAL = b"hushtag-v1/credential/"  # prefix of the OPAQUE credential identifier of a user
KEK = b"hushtag-v1/kek"  # export key -> the key that wraps a vault's data key
OBJECT = b"hushtag-v1/object"  # data key -> key and commitment of one revision of a small object
STREAM = b"hushtag-v1/stream"  # no key; begins the context of each segment of a large object
INDEX = b"hushtag-v1/index"  # no key; begins what the root of a stream sums up: the digests of its segments
UPLOAD = b"hushtag-v1/upload"  # data key -> key and commitment of what a device remembers of an unfinished upload
HEAD = b"hushtag-v1/head"  # data key -> key and commitment of one generation of the vault head
SET_KEY = b"hushtag-v1/set-key"  # data key -> key of the set hash inside the vault head
EPOCH = b"hushtag-v1/epoch"  # data key -> key of the epoch code and of a head's fingerprint
PIN_VAULT = b"hushtag-v1/pin-vault"  # data key -> key of a vault's pins, the same for every phrase of it
PIN_TAG = b"hushtag-v1/pin-tag"  # export key -> key of a vault's pins, the same for every data key of it
PIN_PLACE = b"hushtag-v1/pin-place"  # key of pins -> the slots of a page where they lie
PIN_SLOT = b"hushtag-v1/pin-slot"  # key of pins -> key and commitment of one slot
LABEL = b"hushtag-v1/label"  # data key -> key and commitment of a tag's sealed label
RING = b"hushtag-v1/ring"  # no key; begins what the ring digest inside the head's associated data sums up
SEALED_KEY = b"hushtag-v1/data-key"  # HPKE info: a data key on its way to one tag
OLD_KEY = b"hushtag-v1/old-key"  # data key -> key and commitment of the sealed data key before it
KEY_NAME = b"hushtag-v1/key-name"  # data key -> the value that stands for it in the proof of succession
SUCCESSION = b"hushtag-v1/succession"  # data key -> proof that another data key follows it
TAG_KEY_PAIR = b"hushtag-v1/tag-key-pair"  # export key -> X25519 private key of a tag
RELEASE = b"hushtag-v1/release"  # export key -> what every finish sends: the release of the phrase
ORDER = b"hushtag-v1/order"  # release -> check value of the tag, and the tickets other tags may bear as orders
VAULT_TOKEN = b"hushtag-v1/vault-token"  # OPAQUE session key -> the token that both sides derive
DECOY = b"hushtag-v1/decoy"  # server seed -> masking key of the decoy record of a user
SERVER_STATE = b"hushtag-v1/server-state"  # sealing key -> key of one ceremony's stored state
KEY_CHECK = b"hushtag-v1/key-check"  # server keys -> the check value the database stores
TAG_SEAL = b"hushtag-v1/tag-seal"  # no key: begins what is authenticated with a tag's sealed envelope
SEALED_FILE = b"hushtag-v1/sealed-file"  # context of a backup, and of a copy of the key file, under a passphrase
AUDIT_IDENTIFIER = b"hushtag-v1/audit-identifier"  # audit key -> key that hashes who and what an event is about
AUDIT_ROW = b"hushtag-v1/audit-row"  # audit key -> key that signs the rows of the security log
AUDIT_LINK = b"hushtag-v1/audit-link"  # audit key -> key of the chain of the security log
AUDIT_CHECKPOINT = b"hushtag-v1/audit-checkpoint"  # audit key -> key that signs how far the chain reaches
PAIRING = b"hushtag-v1/pairing"  # SPAKE2 key -> confirmations and sealing key of one pairing of two devices
CARRIED_SECRET = b"hushtag-v1/carried-secret"  # sealing key of a pairing -> key and commitment of the device secret

PHRASE_HASH_PERSON = b"hushtag1"  # BLAKE2s person: masking key -> phrase hash
SELF_CHECK_PERSON = b"hushchk1"  # BLAKE2s person: canonical phrase -> self-check byte
RECOVERY_PERSON = b"hushrec1"  # BLAKE2s person: words of a recovery code -> its two check words
DEVICE_NAME_PERSON = b"hushdev1"  # BLAKE2s person: device secret -> the four words that name it
DEVICE_TEXT_PERSON = b"hushdtx1"  # BLAKE2s person: text form of a device secret -> its check bytes
