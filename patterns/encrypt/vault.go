package encrypt

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Seal encrypts plaintext with the data encryption key of person, and creates that key
// if there is none. The name of the person is the associated data. After Forget the
// key is a new one.
func (v *Vault) Seal(ctx context.Context, person string, plaintext []byte) (ciphertext []byte, err error) {
	aead, err := v.cipher(ctx, person, v.findOrCreateKey)
	if err != nil {
		return nil, fmt.Errorf("encrypt: seal for %.80q: %w", person, err)
	}
	return aead.Seal(nil, nil, plaintext, []byte(person)), nil
}

// Open decrypts a ciphertext that Seal returned for person. It returns [ErrForgotten] if
// the key was destroyed. If person has a new key, or if the ciphertext is damaged or of
// another person, that cannot be distinguished: it returns ErrForgotten too.
func (v *Vault) Open(ctx context.Context, person string, ciphertext []byte) (plaintext []byte, err error) {
	aead, err := v.cipher(ctx, person, v.findKey)
	if err != nil {
		return nil, fmt.Errorf("encrypt: open for %.80q: %w", person, err)
	}
	if plaintext, err = aead.Open(nil, nil, ciphertext, []byte(person)); err != nil {
		return nil, fmt.Errorf("encrypt: open for %s: %w: %w", person, ErrForgotten, err)
	}
	return plaintext, nil
}

// cipher returns AES-256-GCM with the key that find returns. The nonce is random, and
// is the first part of the ciphertext.
func (v *Vault) cipher(ctx context.Context, person string, find func(context.Context, string) ([]byte, error)) (cipher.AEAD, error) {
	if err := checkID(person); err != nil {
		return nil, err
	}
	key, err := callAPI(ctx, func(ctx context.Context) ([]byte, error) { return find(ctx, person) })
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, ErrForgotten
	}
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (v *Vault) findKey(ctx context.Context, person string) ([]byte, error) {
	entry, err := v.kv.Get(ctx, person)
	if err != nil {
		return nil, err
	}
	return entry.Value(), nil
}

// findOrCreateKey creates a new random key in each attempt: after a lost reply, the key
// of the attempt before can be stored already, and destroyed again by Forget.
func (v *Vault) findOrCreateKey(ctx context.Context, person string) ([]byte, error) {
	key, err := v.findKey(ctx, person)
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return key, err
	}
	key = make([]byte, 32) // AES-256
	_, _ = rand.Read(key)  // never fails
	_, err = v.kv.Create(ctx, person, key)
	if isConflict(err) { // another process was faster
		return v.findOrCreateKey(ctx, person)
	}
	return key, err
}

// Forget destroys the key of person: every ciphertext made with it is unreadable,
// wherever it was copied to. Copies of the key itself, for example in a backup of the
// bucket, are not destroyed.
func (v *Vault) Forget(ctx context.Context, person string) error {
	if err := checkID(person); err != nil {
		return err
	}
	entry, err := callAPI(ctx, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return v.kv.Get(ctx, person) })
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err == nil {
		err = secureDelete(ctx, v.keys, entry.Revision())
	}
	if err != nil {
		return fmt.Errorf("encrypt: forget %s: %w", person, err)
	}
	return nil
}
