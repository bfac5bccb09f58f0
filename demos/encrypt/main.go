// Command encrypt publishes visits with encrypted names, destroys the key of one
// patient, and shows what each reader can still read.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

var play = demo.Play{
	Name:    "encrypt",
	About:   "a data encryption key per patient: one key is destroyed, and every copy of the data is unreadable",
	Lasts:   8 * time.Second,
	Streams: []string{"VISITS", "BACKUP", "KV_keys"},
	Scene:   [2]time.Duration{900 * time.Millisecond, 2900 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

const ms = time.Millisecond

func cast(e *demo.Env) error {
	for name, act := range map[string]func(context.Context, *demo.Env, jetstream.JetStream) error{"reception": reception, "archive": archive} {
		e.Go(name, func(ctx context.Context, nc *nats.Conn) error {
			js, err := e.JetStream(nc)
			if err != nil {
				return err
			}
			return act(ctx, e, js)
		})
	}
	return nil
}

// reception publishes visits and destroys a key.
func reception(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "VISITS", Subjects: []string{"visits.*"}, Metadata: e.Mark()},
		{Name: "BACKUP", Sources: []*jetstream.StreamSource{{Name: "VISITS"}}, Metadata: e.Mark()},
	} {
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			return err
		}
	}
	vault, err := encrypt.NewVault(ctx, js, "keys", encrypt.Config{Metadata: e.Mark()})
	if err != nil || !e.At(900*ms) {
		return err
	}
	e.Tell("The reception publishes visits. The first one still has the name in plaintext. The\nothers are encrypted with the data encryption key of the patient.")
	e.At(1000 * ms)
	if _, err := js.Publish(ctx, "visits.p-1", []byte("plain: Ann Lee, 20 minutes")); err != nil {
		return err
	}
	for i, visit := range []struct{ person, text string }{{"p-1", "Ann Lee, 15 minutes"}, {"p-2", "Bob Day, 30 minutes"}} {
		e.At(time.Duration(2000+500*i) * ms)
		ciphertext, err := vault.Seal(ctx, visit.person, []byte(visit.text))
		if err != nil {
			return err
		}
		if _, err := js.Publish(ctx, "visits."+visit.person, ciphertext); err != nil {
			return err
		}
	}
	if !e.At(3900 * ms) {
		return nil
	}
	e.Tell("Patient p-1 asks for erasure. Forget destroys the key of p-1 in the bucket. No stored\nvisit changes. The visit in plaintext must be redacted in each stream.")
	e.At(4000 * ms)
	if err := vault.Forget(ctx, "p-1"); err != nil {
		return err
	}
	e.Printf("reception: destroyed the key of p-1")
	if err := encrypt.Redact(ctx, js, "VISITS", 1); err != nil {
		return err
	}
	e.Printf("reception: redacted sequence 1 of VISITS")
	return nil
}

// archive reads the stream and its copy, before and after.
func archive(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	if !e.At(500 * ms) {
		return nil
	}
	vault, err := encrypt.NewVault(ctx, js, "keys", encrypt.Config{Metadata: e.Mark()})
	if err != nil {
		return err
	}
	for _, at := range []time.Duration{3000 * ms, 6000 * ms} {
		if !e.At(at - 100*ms) {
			return nil
		}
		e.Tell("The archive reads the stream, and a copy of it that was made before.")
		for _, stream := range []string{"VISITS", "BACKUP"} {
			e.At(at)
			if err := read(ctx, e, js, vault, stream); err != nil {
				return err
			}
			at += 500 * ms
		}
	}
	return nil
}

func read(ctx context.Context, e *demo.Env, js jetstream.JetStream, vault *encrypt.Vault, stream string) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	for sequence := uint64(1); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			e.Printf("archive: %s %d is not there", stream, sequence)
			continue
		}
		if err != nil {
			return err
		}
		text, err := decrypt(ctx, vault, m)
		if err != nil {
			return err
		}
		e.Printf("archive: %s %d is %s", stream, sequence, text)
	}
	return nil
}

func decrypt(ctx context.Context, vault *encrypt.Vault, m *jetstream.RawStreamMsg) (string, error) {
	if text, ok := strings.CutPrefix(string(m.Data), "plain: "); ok {
		return text + " (plaintext)", nil
	}
	person := strings.TrimPrefix(m.Subject, "visits.")
	text, err := vault.Open(ctx, person, m.Data)
	if errors.Is(err, encrypt.ErrForgotten) {
		return fmt.Sprintf("unreadable: the key of %s was destroyed", person), nil
	}
	return string(text), err
}
