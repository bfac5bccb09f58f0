// Command schema plays a clinic whose form for visits changes twice: an old reader, a
// careless one, a sender who fills in what he likes, and a patient who wants to be
// forgotten.
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
	"github.com/natspatterns/catalog/patterns/schema"
)

var play = demo.Play{
	Name:    "schema",
	About:   "a form changes from version 1 to 3: who reads which, what becomes of the rest, and a patient who is forgotten",
	Lasts:   15 * time.Second,
	Streams: []string{"SCHEMA_visit", "INVALID_visit", "KV_keys"},
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

func config(e *demo.Env) schema.Config { return schema.Config{Log: e.Log(), Metadata: e.Mark()} }

// reception sends visits, in one version after another.
func reception(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	first, err := schema.Define[visit1]("visit")
	if err != nil {
		return err
	}
	now1, err := schema.NewChannel(ctx, js, first, config(e))
	if err != nil || !e.At(900*ms) {
		return err
	}
	e.Tell("The clinic tells of its visits on a form, version 1. The archive reads them with\ncare: each must be what it says it is. Billing just takes what it can find.")
	e.At(1000 * ms)
	wrong, err := now1.Publish(ctx, "ann", visit1{"p-1", "Ann Lee", 200})
	if err != nil || !e.At(1900*ms) {
		return err
	}
	e.Tell("Version 2 adds the room. It extends version 1, which is checked when the program\nstarts: so it says of itself that readers of version 1 can read it.")
	second, err := schema.Define[visit2]("visit", schema.Extend(oneToTwo))
	if err != nil {
		return err
	}
	now2, err := schema.NewChannel(ctx, js, second, config(e))
	if err != nil || !e.At(2000*ms) {
		return err
	}
	plain, err := now2.Publish(ctx, "bob", visit2{"p-2", "Bob Day", 30, "7"})
	if err != nil || !e.At(2900*ms) {
		return err
	}
	e.Tell("A doctor who is in a hurry writes past the program. He has the headers right, and\nthe rest as it comes to mind.")
	e.At(3000 * ms)
	fax := &nats.Msg{Subject: "schema.visit.cid", Header: nats.Header{}, Data: []byte(`{"patient":"p-3","name":"Cid Orr","minutes":"ten or so"}`)}
	for name, value := range map[string]string{"Content-Type": "application/json", schema.HeaderName: "visit", schema.HeaderVersion: "1", schema.HeaderSince: "1"} {
		fax.Header.Set(name, value)
	}
	if _, err := js.PublishMsg(ctx, fax); err != nil || !e.At(3900*ms) {
		return err
	}
	e.Tell("Version 3 seals the name with a key of the patient's own. No reader of the others can\ndo without the name: Extend refuses that, so it replaces version 2.")
	e.At(4000 * ms)
	if _, err := schema.Define[visit3]("visit", schema.Extend(oneToTwo), schema.Extend(func(visit2) (visit3, error) { return visit3{}, nil })); err != nil {
		_, why, _ := strings.Cut(err.Error(), "is meant: ")
		e.Printf("the reception may not call it an extension: %s", why)
	}
	vault, err := schema.NewVault(ctx, js, "keys", config(e))
	if err != nil {
		return err
	}
	third, err := form3(ctx, vault)
	if err != nil {
		return err
	}
	now3, err := schema.NewChannel(ctx, js, third, config(e))
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
	e.Tell("Events do not change; but the first one was wrong: it was 20 minutes. One answer is to\nsay so in another event, and to hope that all who read it heed that.")
	e.At(8000 * ms)
	if err := send(wrong, 20); err != nil || !e.At(9900*ms) {
		return err
	}
	e.Tell("Ann asks to be forgotten, and Bob as well. What was written under their own key goes\nwith the key, in all copies; what was written before must be erased one by one.")
	e.At(10000 * ms)
	err = errors.Join(vault.Forget(ctx, "p-1"), vault.Forget(ctx, "p-2"), now3.Redact(ctx, wrong), now3.Redact(ctx, plain))
	e.Printf("the reception has burnt the keys of p-1 and p-2, and erased visits %d and %d", wrong, plain)
	return err
}

// archive reads with care: version 1, until it is upgraded to 3 and reads all anew.
func archive(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	old, err := schema.Define[visit1]("visit")
	if err != nil || !e.At(300*ms) {
		return err
	}
	channel, err := schema.NewChannel(ctx, js, old, config(e))
	if err != nil {
		return err
	}
	stop, err := read(ctx, js, channel, "archive", func(_ context.Context, m schema.Message[visit1]) error {
		e.Printf("the archive (version 1) files visit %d, of version %d: %s, %d minutes", m.Sequence, m.Format.Version, m.Value.Name, m.Value.Minutes)
		return nil
	})
	if err != nil {
		return err
	}
	e.At(5900 * ms)
	stop()
	e.Tell("The archive is upgraded, and reads everything anew: what is old is brought up to\nversion 3, step by step.")
	e.At(6000 * ms)
	vault, err := schema.NewVault(ctx, js, "keys", config(e))
	if err != nil {
		return err
	}
	form, err := form3(ctx, vault)
	if err != nil {
		return err
	}
	now, err := schema.NewChannel(ctx, js, form, config(e))
	if err != nil {
		return err
	}
	file := func(ctx context.Context, m schema.Message[visit3]) error {
		name, err := vault.Open(ctx, m.Value.Patient, m.Value.Sealed)
		if errors.Is(err, schema.ErrForgotten) {
			name, err = []byte("(somebody)"), nil
		}
		about := ""
		if m.Corrects > 0 {
			about = fmt.Sprintf(", in place of visit %d", m.Corrects)
		}
		if err == nil {
			e.Printf("the archive (version 3) files visit %d, of version %d: %s, %d minutes, room %s%s", m.Sequence, m.Format.Version, name, m.Value.Minutes, m.Value.Room, about)
		}
		return err
	}
	if stop, err = read(ctx, js, now, "archive-3", file); err != nil || !e.At(11900*ms) {
		return err
	}
	stop()
	e.Tell("The archive burns its books and reads everything once more. Two visits are gone, and\ntwo are of nobody in particular.")
	e.At(12000 * ms)
	if stop, err = read(ctx, js, now, "archive-4", file); err == nil {
		<-ctx.Done()
		stop()
	}
	return err
}

func read[T any](ctx context.Context, js jetstream.JetStream, c *schema.Channel[T], name string, handle schema.Handler[T]) (stop func(), err error) {
	cons, err := js.CreateConsumer(ctx, "SCHEMA_visit", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1})
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

// billing unmarshals, and hopes.
func billing(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	if !e.At(400 * ms) {
		return nil
	}
	cons, err := js.OrderedConsumer(ctx, "SCHEMA_visit", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	books := map[string]int{}
	stop, err := consume(cons, func(m jetstream.Msg) {
		var v visit1
		_ = json.Unmarshal(m.Data(), &v)
		books[v.Name] += v.Minutes
		time.Sleep(20 * ms) // the others speak first
		e.Printf("billing writes a bill to %q for %d minutes", v.Name, v.Minutes)
	})
	if err != nil {
		return err
	}
	e.At(13500 * ms)
	stop()
	e.Printf("billing still has Ann Lee in its books, with %d minutes, and nobody with %d", books["Ann Lee"], books[""])
	return nil
}

// office looks at what could not be read.
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
		e.Printf("the office finds visit %s, put aside by the %s: %s", m.Headers().Get(schema.HeaderSequence), strings.Split(m.Subject(), ".")[2],
			strings.TrimPrefix(m.Headers().Get(schema.HeaderError), "schema: "))
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop()
	return nil
}
