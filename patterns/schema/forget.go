package schema

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Correct answers a wrong event with another one: both stay, the new one refers to
// the sequence of the old one, and each reader has to heed [Message].Corrects. After
// an error it may be stored all the same; then two of them correct one.
func (c *Channel[T]) Correct(ctx context.Context, key string, sequence uint64, v T) (uint64, error) {
	old, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return c.events.GetMsg(ctx, sequence) })
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && old.Subject != "schema."+c.t.name+"."+key {
		return 0, fmt.Errorf("%w: %d of %.80q", ErrNoEvent, sequence, key)
	}
	if err != nil {
		return 0, fmt.Errorf("schema: correct %d: %w", sequence, err)
	}
	return c.publish(ctx, key, v, sequence)
}

// Redact erases an event, and what was diverted of it, from the channel's streams:
// its bytes are overwritten and its sequence stays empty. What has been read, copied,
// mirrored or backed up is as it was; a reader that has it in hand may still divert it.
// Call it again after that, and after an error.
func (c *Channel[T]) Redact(ctx context.Context, sequence uint64) error {
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return c.events.Info(ctx) })
	if err == nil && (sequence == 0 || sequence > info.State.LastSeq) {
		return fmt.Errorf("%w: %d, the last one is %d", ErrNoEvent, sequence, info.State.LastSeq)
	}
	if err == nil {
		err = erase(ctx, c.events, sequence)
	}
	if err != nil {
		return fmt.Errorf("schema: redact %d: %w", sequence, err)
	}
	for {
		copied, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return c.invalid.GetLastMsgForSubject(ctx, fmt.Sprintf("invalid.%s.*.%d.*", c.t.name, sequence))
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			err = erase(ctx, c.invalid, copied.Sequence)
		}
		if err != nil {
			return fmt.Errorf("schema: redact what was diverted of %d: %w", sequence, err)
		}
	}
}

func erase(ctx context.Context, s jetstream.Stream, sequence uint64) error {
	_, err := callAPI(ctx, func(ctx context.Context) (any, error) { return nil, s.SecureDeleteMsg(ctx, sequence) })
	if err != nil && strings.Contains(err.Error(), "err_code=10043") { // nats.go hands it on as text
		return nil // it is gone
	}
	return err
}

// ErrForgotten reports that the key of what was sealed is gone for good.
var ErrForgotten = errors.New("schema: forgotten")

// Vault keeps one key per person. What is sealed with it may be stored and copied
// anywhere, and is unreadable everywhere once the person is forgotten.
type Vault struct {
	kv   jetstream.KeyValue
	keys jetstream.Stream
}

// Keys returns the stream of a vault. It is that of a key-value bucket without history,
// but two things CreateKeyValue does otherwise: a message can be erased, where there even
// a purged key stays on the disk; and its leader is asked, as a replica that lags would
// say that a new key is not there to forget.
func Keys(bucket string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(bucket)
	}
	return jetstream.StreamConfig{
		Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
		AllowRollup: true, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

// NewVault opens the vault in bucket, and creates it if need be.
func NewVault(ctx context.Context, js jetstream.JetStream, bucket string, cfg Config) (*Vault, error) {
	want, err := Keys(bucket, cfg)
	if js == nil {
		err = fmt.Errorf("%w: js is nil", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	v := &Vault{}
	v.keys, err = ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err == nil {
		v.kv, err = callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.KeyValue(ctx, bucket) })
	}
	if err != nil {
		return nil, fmt.Errorf("schema: vault %s: %w", bucket, err)
	}
	return v, nil
}

// Seal encrypts data under the key of person, who gets one if there is none. After
// Forget, that is a new one.
func (v *Vault) Seal(ctx context.Context, person string, data []byte) ([]byte, error) {
	aead, err := v.key(ctx, person, true)
	if err != nil {
		return nil, fmt.Errorf("schema: seal for %s: %w", person, err)
	}
	return aead.Seal(nil, nil, data, []byte(person)), nil
}

// Open decrypts what was sealed for person. It returns [ErrForgotten] if the key is
// gone, or is another than the one it was sealed with, which damage to it looks like.
func (v *Vault) Open(ctx context.Context, person string, sealed []byte) ([]byte, error) {
	aead, err := v.key(ctx, person, false)
	if err == nil {
		var data []byte
		if data, err = aead.Open(nil, nil, sealed, []byte(person)); err == nil {
			return data, nil
		}
		err = errors.Join(ErrForgotten, err)
	}
	return nil, fmt.Errorf("schema: open for %s: %w", person, err)
}

// key returns the cipher of person, of a new key if there is none and create says so.
func (v *Vault) key(ctx context.Context, person string, create bool) (cipher.AEAD, error) {
	if err := checkID(person); err != nil {
		return nil, err
	}
	key, err := callAPI(ctx, func(ctx context.Context) ([]byte, error) {
		entry, err := v.kv.Get(ctx, person)
		if err == nil {
			return entry.Value(), nil
		} else if !create || !errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, err
		}
		fresh := make([]byte, 32) // AES-256; of each try its own, as that of an earlier one may have been forgotten
		_, _ = rand.Read(fresh)   // never fails
		if _, err = v.kv.Create(ctx, person, fresh); errors.Is(err, jetstream.ErrKeyExists) {
			err = context.DeadlineExceeded // someone was quicker: ask again
		}
		return fresh, err
	})
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, ErrForgotten
	} else if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Forget erases the key of person: all that was sealed for them until now is
// unreadable, but for whoever has a copy of the key, as in a backup of the bucket.
func (v *Vault) Forget(ctx context.Context, person string) error {
	if err := checkID(person); err != nil {
		return err
	}
	entry, err := callAPI(ctx, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return v.kv.Get(ctx, person) })
	if err == nil {
		err = erase(ctx, v.keys, entry.Revision())
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("schema: forget %s: %w", person, err)
	}
	return nil
}
