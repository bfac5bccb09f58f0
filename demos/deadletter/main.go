// Command deadletter plays a sorting office: letters that cannot be delivered go to
// the dead letter office, where a clerk mends and reposts them.
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
	"github.com/natspatterns/catalog/patterns/deadletter"
)

var play = demo.Play{
	Name:    "deadletter",
	About:   "letters that cannot be delivered are kept, mended and posted again; and a box that nobody watches",
	Lasts:   20 * time.Second,
	Streams: []string{"LETTERS", "PARCELS", "DEAD_office", "ADVISORIES_PARCELS"},
	Scene:   [2]time.Duration{900 * time.Millisecond, 4900 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

func config(e *demo.Env) deadletter.Config {
	return deadletter.Config{MaxDeliver: 3, Backoff: 500 * time.Millisecond, Log: e.Log(), Metadata: e.Mark()}
}

const ms = time.Millisecond

func cast(e *demo.Env) error {
	for name, act := range map[string]func(context.Context, *demo.Env, jetstream.JetStream) error{
		"sender": sender, "postwoman": postwoman, "clerk": clerk, "haulier": haulier, "collector": collector,
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

// sender makes the streams, and posts what is in the play.
func sender(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	err := deadletter.Provision(ctx, js, "office", config(e))
	for _, name := range []string{"letters", "parcels"} {
		_, fail := js.CreateStream(ctx, jetstream.StreamConfig{Name: strings.ToUpper(name), Subjects: []string{name + ".*"},
			Retention: jetstream.WorkQueuePolicy, Metadata: e.Mark()})
		err = errors.Join(err, fail)
	}
	_, fail := js.CreateConsumer(ctx, "LETTERS", jetstream.ConsumerConfig{Durable: "round", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second})
	err = errors.Join(err, fail)
	_, fail = js.CreateConsumer(ctx, "PARCELS", jetstream.ConsumerConfig{Durable: "lorry", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxDeliver: 2})
	err = errors.Join(err, fail)
	post := func(at time.Duration, kind, to string) {
		e.At(at)
		id := e.ID(kind)
		_, fail := js.Publish(ctx, kind+"s."+id, []byte(to), jetstream.WithMsgID(id))
		err = errors.Join(err, fail)
	}
	e.At(800 * ms)
	e.Tell("A round of letters. One says who it is for, one is for a house where nobody opens, and\none has an address that no one can read. What cannot be delivered may neither block the\nround nor vanish: it goes to the dead letter office, with the reason.")
	post(1000*ms, "letter", "12 Canal Street")
	post(1200*ms, "letter", "13 Canal Street")
	post(1400*ms, "letter", "c/o ???")

	e.At(9600 * ms)
	e.Tell("Parcels go by lorry. The haulier's consumer has a MaxDeliver of 2: after that the server\ndelivers the parcel no more, and publishes one advisory. Nobody subscribes to it.")
	post(9800*ms, "parcel", "nowhere")
	return err
}

func postwoman(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	e.At(300 * ms)
	office, err := deadletter.NewChannel(ctx, js, "office", config(e))
	if err != nil {
		return err
	}
	round, err := js.Consumer(ctx, "LETTERS", "round")
	if err != nil {
		return err
	}
	guarded, err := office.Guard(ctx, round, func(_ context.Context, msg deadletter.Message) error {
		id, to := msg.ID, string(msg.Data)
		switch {
		case strings.Contains(to, "?"):
			e.Printf("the postwoman cannot read the address of %s", id)
			return fmt.Errorf("%w: address %q", deadletter.ErrPoison, to)
		case strings.HasPrefix(to, "13 "):
			e.Printf("the postwoman finds nobody at home for %s", id)
			return errors.New("nobody at home")
		}
		e.Printf("the postwoman delivers %s to %s", id, to)
		return nil
	})
	if err != nil {
		return err
	}
	return consume(ctx, round, guarded)
}

// consume has handle called until the play ends.
func consume(ctx context.Context, cons jetstream.Consumer, handle jetstream.MessageHandler) error {
	run, err := cons.Consume(handle, jetstream.PullExpiry(30*time.Second))
	if err != nil {
		return err
	}
	<-ctx.Done()
	run.Stop()
	<-run.Closed()
	return nil
}

func clerk(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	e.At(400 * ms)
	office, err := deadletter.NewChannel(ctx, js, "office", config(e))
	if err != nil {
		return err
	}
	list := func(at time.Duration) {
		e.At(at)
		n := 0
		for l, fail := range office.All(ctx) {
			if err = errors.Join(err, fail); fail == nil {
				n++
				e.Printf("the clerk has %s: %s after delivery %d, %s", l.Msg.Subject, l.Reason, l.Deliveries, l.Error)
			}
		}
		if n == 0 {
			e.Printf("the clerk has nothing")
		}
	}
	repost := func(at time.Duration, to map[string]string) {
		e.At(at)
		for l, fail := range office.All(ctx) {
			if err = errors.Join(err, fail); fail != nil || to[l.Msg.Subject] == "" {
				continue
			}
			e.Printf("the clerk writes %q on %s, and posts it", to[l.Msg.Subject], l.Msg.Subject)
			fail := office.Requeue(ctx, l.ID, func(msg *nats.Msg) error {
				msg.Data = []byte(to[msg.Subject])
				return nil
			})
			err = errors.Join(err, fail)
		}
	}
	list(4 * time.Second)
	e.At(4400 * ms)
	e.Tell("The clerk has seen that hand before. She writes the address out, and posts the letter\nagain: as a new letter, without the headers of the old one. With the same message ID,\nthe server would drop it as a duplicate.")
	repost(4600*ms, map[string]string{"letters.letter-3": "31 Canal Street"})
	list(5 * time.Second)

	e.At(5600 * ms)
	e.Tell("Posted without a cure, a letter comes back. Number 13 does not open today either.")
	repost(5800*ms, map[string]string{"letters.letter-2": "13 Canal Street"})
	list(8 * time.Second)
	e.At(8200 * ms)
	for l, fail := range office.All(ctx) {
		if err = errors.Join(err, fail); fail == nil {
			err = errors.Join(err, office.Purge(ctx, l.ID))
			e.Printf("the clerk burns %s", l.Msg.Subject)
		}
	}
	list(8400 * ms)

	list(13500 * ms)
	list(19500 * ms)
	return err
}

// haulier is foreign code: the consumer has a MaxDeliver of 2.
func haulier(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	e.At(500 * ms)
	lorry, err := js.Consumer(ctx, "PARCELS", "lorry")
	if err != nil {
		return err
	}
	return consume(ctx, lorry, func(msg jetstream.Msg) {
		e.Printf("the haulier does not know %s", msg.Data())
		if err := msg.NakWithDelay(time.Second); err != nil {
			e.Log().Warn("nak", "err", err)
		}
	})
}

// collector starts late, and finds the parcel all the same.
func collector(ctx context.Context, e *demo.Env, js jetstream.JetStream) error {
	e.At(13200 * ms)
	parcels, err := js.Stream(ctx, "PARCELS")
	if err != nil {
		return err
	}
	e.Printf("%d parcel is in the depot, and will never move again", parcels.CachedInfo().State.Msgs)
	e.At(13800 * ms)
	e.Tell("Then a collector starts. It has missed the only advisory; so it scans the work queue, and\nstores the parcel as a dead letter. From now on a stream stores the advisories, also\nwhile no collector runs.")
	e.At(14 * time.Second)
	c, err := deadletter.NewCollector(ctx, js, "office", "PARCELS", config(e))
	if err != nil {
		return err
	}
	return c.Run(ctx)
}
