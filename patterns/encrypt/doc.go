// Package encrypt encrypts payloads with one data encryption key per person, so
// that destroying the key makes every copy of the data unreadable
// (crypto-shredding).
//
// # Intent
//
// Erase the personal data of one person from streams, mirrors, backups and the
// databases of consumers, without changing any stored message.
//
// # Forces
//
//   - A stored event does not change, but a person has the right to have
//     personal data erased.
//   - Nobody has a list of all copies of an event. A key has one place.
//   - A deleted message or key can stay on the disk until its block is
//     rewritten.
//
// # On NATS
//
// A [Vault] is a key-value bucket with one key per person: 32 random bytes on
// $KV.<bucket>.<person>. [Vault.Seal] encrypts with AES-256-GCM. The ciphertext
// is a random nonce of 12 bytes, the encrypted data, and a tag of 16 bytes; the
// ID of the person is the associated data. The caller publishes the ciphertext
// in any field of any message. [Vault.Open] decrypts it. [Vault.Forget]
// destroys the key with a secure delete: the server overwrites the bytes of the
// message and removes it. [Redact] and [RedactSubject] do the same with
// messages that hold data in plaintext.
//
// The bucket is not made by CreateKeyValue. Its stream permits deletes
// (DenyDelete: false), and only its leader replies to a read (AllowDirect:
// false). JetStream is needed, because a key must be stored.
//
// # Guarantees
//
//   - Erasure: after Forget, every ciphertext of the person is unreadable in all
//     copies, and the key is on no disk of a server with one replica
//     (TestForget). A Seal that runs at the same time does not bring the key
//     back (TestForgetDuringSeal). A bucket that would keep the bytes of a key
//     is refused (TestBucketKeepsKeys).
//   - Erasure: Redact erases a message from the disk and leaves a gap. It does
//     not reach copies in other streams (TestRedact). A consumer that received
//     the message before can store a copy later (TestRedactInFlight).
//   - Erasure: on three replicas, a key and a redacted message are erased from
//     each replica's store, but stay in the Raft log for a time
//     (TestReplicas).
//   - Loss: Seal returns a ciphertext only after its key is stored. Without the
//     key the data is lost: there is no second copy (TestForget). A full bucket
//     refuses a new key (TestFull).
//   - Duplication: processes that seal for a new person at the same time use one
//     key (TestSealConcurrently). The same plaintext has a new ciphertext each
//     time (TestCiphertext).
//   - Order: not promised. A Seal after Forget creates a new key; it cannot be
//     distinguished from a Seal before it (TestForget).
//   - Delay: not promised. Each Seal and Open reads the key from the server, so
//     that Forget has effect at once. A call ends with its context, or after
//     10 s (TestBadInput).
//   - Integrity: a ciphertext that was changed, or that belongs to another
//     person, is refused (TestCiphertext).
//   - Settings: a bucket that exists is changed by Provision only
//     (TestProvision).
//
// # Limits
//
//   - Forget does not reach a copy of the key: a backup or a mirror of the
//     bucket (TestForget). Back up the bucket apart from the streams, and keep
//     its backups for a short time.
//   - A disk can keep bytes that were overwritten. Encrypt the disk too.
//   - A power failure can lose the key of an acknowledged Seal unless the server
//     runs with sync_interval: always.
//   - Consumers keep what they decrypted before.
//   - A ciphertext is 28 bytes longer than its plaintext, and must fit
//     max_payload (1 MB by default).
//   - One key encrypts at most 2^32 plaintexts, because nonces are random. Keys
//     are not rotated.
//   - MaxBytes limits the bucket; 0 is unlimited. A key takes about 120 bytes.
//   - A bucket name and a person are 1 to 64 of A-Z a-z 0-9 _ - (TestBadInput).
//
// # When not to use it
//
//   - The data must be unreadable for operators of the server too: keep the keys
//     in a key management service, or in an account of their own.
//   - Consumers must find or compare the data: they cannot search a ciphertext.
//   - Only the disk must be protected: use the encryption of the server or of
//     the disk.
//
// # Related patterns
//
// schema defines the message that holds the ciphertext. eventstore erases the
// whole history of one entity.
//
// # Also known as
//
// Crypto-shredding, crypto-erasure; payload encryption, field-level encryption;
// key per subject; right to be forgotten.
//
// # Kind
//
// State
package encrypt
