// Command schema plays a clinic whose messages about visits change twice: a reader of
// version 1, a reader that does not validate, an invalid message, and a patient whose
// data is erased.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/datatype"
	"github.com/natspatterns/catalog/patterns/encrypt"
	"github.com/natspatterns/catalog/patterns/schema"
)

var play = demo.Play{
	Name:    "schema",
	About:   "a message changes from version 1 to 3: which reader reads which version, where invalid messages go, and how data is erased",
	Lasts:   15 * time.Second,
	Streams: []string{"DATATYPE_visit", "INVALID_visit", "KV_keys"},
	Scene:   [2]time.Duration{1900 * time.Millisecond, 3900 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

const ms = time.Millisecond

func cast(e *demo.Env) error {
	for name, act := range map[string]func(context.Context, *demo.Env, jetstream.JetStream) error{
		"reception": reception, "archive": archive, "billing": billing, "office": office,
	} {
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

// open returns the datatype channel of visits for a program that knows the versions of t.
func open[T any](ctx context.Context, e *demo.Env, js jetstream.JetStream, t *schema.Type[T]) (*datatype.Channel[T], error) {
	return datatype.NewChannel(ctx, js, "visit", t, datatype.Config{Log: e.Log(), Metadata: e.Mark()})
}

func vaultOf(ctx context.Context, e *demo.Env, js jetstream.JetStream) (*encrypt.Vault, error) {
	return encrypt.NewVault(ctx, js, "keys", encrypt.Config{Metadata: e.Mark()})
}

// reception publishes visits, in one version after another.
func reception(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	first, err := schema.Define[visit1]("visit")
	if err != nil {
		return err
	}
	now1, err := open(ctx, e, js, first)
	if err != nil || !e.At(900*ms) {
		return err
	}
	e.Tell("The reception publishes visits in version 1. The archive validates what it reads:\neach message must match its schema. Billing only unmarshals.")
	e.At(1000 * ms)
	wrong, err := now1.Publish(ctx, "ann", visit1{"p-1", "Ann Lee", 200})
	if err != nil || !e.At(1900*ms) {
		return err
	}
	e.Tell("Version 2 adds the room. It extends version 1, which Define checks. Its format indicator\nstates that readers of version 1 can read it.")
	second, err := schema.Define[visit2]("visit", schema.Extend(oneToTwo))
	if err != nil {
		return err
	}
	now2, err := open(ctx, e, js, second)
	if err != nil || !e.At(2000*ms) {
		return err
	}
	plain, err := now2.Publish(ctx, "bob", visit2{"p-2", "Bob Day", 30, "7"})
	if err != nil || !e.At(2900*ms) {
		return err
	}
	e.Tell("A doctor publishes without the program. The headers are right, the payload is invalid:\nminutes is a text.")
	e.At(3000 * ms)
	fax := &nats.Msg{Subject: "datatype.visit.cid", Header: nats.Header{}, Data: []byte(`{"patient":"p-3","name":"Cid Orr","minutes":"ten or so"}`)}
	for name, value := range map[string]string{"Content-Type": "application/json", schema.HeaderName: "visit", schema.HeaderVersion: "1", schema.HeaderSince: "1"} {
		fax.Header.Set(name, value)
	}
	if _, err := js.PublishMsg(ctx, fax); err != nil || !e.At(3900*ms) {
		return err
	}
	e.Tell("Version 3 encrypts the name with the key of the patient. Readers of the older versions\nneed the name: Extend refuses the change, so it is a Replace, a breaking change.")
	e.At(4000 * ms)
	if _, err := schema.Define[visit3]("visit", schema.Extend(oneToTwo), schema.Extend(func(visit2) (visit3, error) { return visit3{}, nil })); err != nil {
		_, why, _ := strings.Cut(err.Error(), "a breaking change: ")
		e.Printf("reception: Extend is refused: %s", why)
	}
	vault, err := vaultOf(ctx, e, js)
	if err != nil {
		return err
	}
	third, err := form3(ctx, vault)
	if err != nil {
		return err
	}
	now3, err := open(ctx, e, js, third)
	if err != nil || !e.At(4500*ms) {
		return err
	}
	send := func(correct uint64, minutes int) error {
		sealed, err := vault.Seal(ctx, "p-1", []byte("Ann Lee"))
		if err != nil {
			return err
		}
		v := visit3{"p-1", sealed, minutes, "2"}
		if correct > 0 {
			_, err = now3.Correct(ctx, "ann", correct, v)
		} else {
			_, err = now3.Publish(ctx, "ann", v)
		}
		return err
	}
	if err := send(0, 15); err != nil || !e.At(7900*ms) {
		return err
	}
	e.Tell("Events do not change, but visit 1 was wrong: it was 20 minutes. A correction is another\nevent. Each reader must handle it.")
	e.At(8000 * ms)
	if err := send(wrong, 20); err != nil || !e.At(9900*ms) {
		return err
	}
	e.Tell("Ann and Bob ask for erasure. What is encrypted with their keys is unreadable in all\ncopies once the keys are destroyed. What was stored in plaintext is redacted.")
	e.At(10000 * ms)
	err = errors.Join(vault.Forget(ctx, "p-1"), vault.Forget(ctx, "p-2"), redact(ctx, js, wrong), redact(ctx, js, plain))
	e.Printf("reception: destroyed the keys of p-1 and p-2, redacted visits %d and %d", wrong, plain)
	return err
}

// redact erases a visit, and its copies in the invalid message channel.
func redact(ctx context.Context, js jetstream.JetStream, sequence uint64) error {
	return errors.Join(encrypt.Redact(ctx, js, "DATATYPE_visit", sequence),
		encrypt.RedactSubject(ctx, js, "INVALID_visit", fmt.Sprintf("invalid.visit.*.%d.*", sequence)))
}

// archive validates what it reads: in version 1, until it is upgraded to version 3.
func archive(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	old, err := schema.Define[visit1]("visit")
	if err != nil || !e.At(300*ms) {
		return err
	}
	channel, err := open(ctx, e, js, old)
	if err != nil {
		return err
	}
	stop, err := read(ctx, js, channel, "archive", func(_ context.Context, m datatype.Message[visit1]) error {
		e.Printf("archive (version 1): visit %d, version %s: %s, %d minutes", m.Sequence, m.Header.Get(schema.HeaderVersion), m.Value.Name, m.Value.Minutes)
		return nil
	})
	if err != nil {
		return err
	}
	e.At(5900 * ms)
	stop()
	e.Tell("The archive is upgraded, and reads all visits again. Older versions are upcast to\nversion 3, step by step.")
	e.At(6000 * ms)
	vault, err := vaultOf(ctx, e, js)
	if err != nil {
		return err
	}
	form, err := form3(ctx, vault)
	if err != nil {
		return err
	}
	now, err := open(ctx, e, js, form)
	if err != nil {
		return err
	}
	file := func(ctx context.Context, m datatype.Message[visit3]) error {
		name, err := vault.Open(ctx, m.Value.Patient, m.Value.Sealed)
		if errors.Is(err, encrypt.ErrForgotten) {
			name, err = []byte("(erased)"), nil
		}
		about := ""
		if m.Corrects > 0 {
			about = fmt.Sprintf(", replaces visit %d", m.Corrects)
		}
		if err != nil {
			return err
		}
		e.Printf("archive (version 3): visit %d, version %s: %s, %d minutes, room %s%s", m.Sequence, m.Header.Get(schema.HeaderVersion), name, m.Value.Minutes, m.Value.Room, about)
		return nil
	}
	if stop, err = read(ctx, js, now, "archive-3", file); err != nil || !e.At(11900*ms) {
		return err
	}
	stop()
	e.Tell("The archive deletes its state and reads all visits once more. Two visits are redacted,\nand the names of two others are unreadable.")
	e.At(12000 * ms)
	if stop, err = read(ctx, js, now, "archive-4", file); err == nil {
		<-ctx.Done()
		stop()
	}
	return err
}

func read[T any](ctx context.Context, js jetstream.JetStream, c *datatype.Channel[T], name string, handle datatype.Handler[T]) (stop func(), err error) {
	cons, err := js.CreateConsumer(ctx, "DATATYPE_visit", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1})
	if err != nil {
		return nil, err
	}
	guarded, err := c.Guard(ctx, cons, handle)
	if err != nil {
		return nil, err
	}
	return consume(cons, guarded)
}

func consume(cons jetstream.Consumer, handle jetstream.MessageHandler) (stop func(), err error) {
	run, err := cons.Consume(handle, jetstream.PullExpiry(30*time.Second))
	if err != nil {
		return nil, err
	}
	return func() { run.Stop(); <-run.Closed() }, nil
}

// billing unmarshals without validation.
func billing(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	if !e.At(400 * ms) {
		return nil
	}
	cons, err := js.OrderedConsumer(ctx, "DATATYPE_visit", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	bills := map[string]int{}
	stop, err := consume(cons, func(m jetstream.Msg) {
		var v visit1
		_ = json.Unmarshal(m.Data(), &v)
		bills[v.Name] += v.Minutes
		time.Sleep(20 * ms) // after the archive, so that the output has an order
		e.Printf("billing: a bill to %q for %d minutes", v.Name, v.Minutes)
	})
	if err != nil {
		return err
	}
	e.At(13500 * ms)
	stop()
	e.Printf("billing: the bills still have Ann Lee with %d minutes, and an empty name with %d", bills["Ann Lee"], bills[""])
	return nil
}

// office reads the invalid message channel.
func office(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	if !e.At(500 * ms) {
		return nil
	}
	cons, err := js.OrderedConsumer(ctx, "INVALID_visit", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	stop, err := consume(cons, func(m jetstream.Msg) {
		time.Sleep(40 * ms)
		e.Printf("office: visit %s, diverted by %s: %s", m.Headers().Get(datatype.HeaderSequence), strings.Split(m.Subject(), ".")[2],
			strings.TrimPrefix(m.Headers().Get(datatype.HeaderError), "schema: "))
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop()
	return nil
}
