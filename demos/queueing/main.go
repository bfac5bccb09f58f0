// Command queueing plays a parcel service: couriers share a work queue, one drops
// her phone, one parcel comes back, and at last a queue group shows what it
// forgets.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/queueing"
)

var play = demo.Play{
	Name:    "queueing",
	About:   "couriers share a work queue: one is cut off, a parcel comes back, a standby helps; then a queue group forgets",
	Lasts:   20 * time.Second,
	Streams: []string{"JOBS_parcels", "FAILED_parcels"},
	Scene:   [2]time.Duration{2900 * time.Millisecond, 13100 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

func config(e *demo.Env) queueing.Config {
	return queueing.Config{AckWait: 2 * time.Second, Tries: 3, Backoff: 500 * time.Millisecond, Log: e.Log(), Metadata: e.Mark()}
}

func cast(e *demo.Env) error {
	e.Go("shop", func(ctx context.Context, nc *nats.Conn) error { return shop(ctx, e, nc) })
	e.Go("desk", func(ctx context.Context, nc *nats.Conn) error { return desk(ctx, e, nc) })
	for _, c := range []struct {
		name     string
		from     time.Duration
		priority int
	}{{"anna", 200 * time.Millisecond, 0}, {"ben", 300 * time.Millisecond, 0}, {"carl", 13400 * time.Millisecond, 1}} {
		e.Go(c.name, func(ctx context.Context, nc *nats.Conn) error {
			e.At(c.from)
			cfg := config(e)
			cfg.Priority = c.priority
			return courier(ctx, e, nc, c.name, cfg)
		})
	}
	e.Go("phones", func(ctx context.Context, nc *nats.Conn) error { return phones(ctx, e, nc) })
	return nil
}

// courier delivers parcels, each of which says in a word what will happen to it.
func courier(ctx context.Context, e *demo.Env, nc *nats.Conn, name string, cfg queueing.Config) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	w, err := queueing.NewWorker(ctx, js, "parcels", cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx, func(_ context.Context, msg *nats.Msg) error {
		parcel, what := msg.Header.Get("Parcel"), string(msg.Data)
		switch what {
		case "heavy":
			time.Sleep(3 * time.Second)
		case "canal":
			if name == "anna" {
				time.Sleep(400 * time.Millisecond)
				e.Printf("%s delivers %s, and drops her phone into the canal before she can say so", name, parcel)
				e.Line("anna").Down()
				time.Sleep(100 * time.Millisecond)
				return nil // an ack that nobody hears
			}
			fallthrough
		default:
			time.Sleep(500 * time.Millisecond)
		case "nobody home":
			e.Printf("%s finds nobody home for %s", name, parcel)
			return errors.New("nobody home")
		case "no address":
			e.Printf("%s finds no address on %s", name, parcel)
			return fmt.Errorf("%w: no address", queueing.ErrPoison)
		}
		e.Printf("%s has delivered %s", name, parcel)
		return nil
	})
}

// desk is where failed parcels end: whoever sent them need not be there to hear.
func desk(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	sub, err := nc.SubscribeSync("failed.parcels.*")
	if err != nil {
		return err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil // the end of the play
		}
		e.Printf("the desk has %s back after try %s: %s", msg.Header.Get("Parcel"), msg.Header.Get(queueing.HeaderTries), msg.Header.Get(queueing.HeaderReason))
	}
}

func shop(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	if err := queueing.Provision(ctx, js, "parcels", config(e)); err != nil {
		return err
	}
	send := func(at time.Duration, what ...string) {
		e.At(at)
		for _, what := range what {
			id := e.ID("parcel")
			_, fail := queueing.Send(ctx, js, "parcels", id, &nats.Msg{Header: nats.Header{"Parcel": {id}}, Data: []byte(what)})
			err = errors.Join(err, fail)
		}
	}
	check := func(at time.Duration, ids ...string) {
		e.At(at)
		for _, id := range ids {
			is, fail := queueing.Check(ctx, js, "parcels", id)
			err = errors.Join(err, fail)
			e.Printf("the shop asks: %s is %s", id, is.State)
		}
	}
	const ms = time.Millisecond

	e.At(700 * ms)
	e.Tell("Two couriers, one queue, and the shop that fills it knows neither. Each parcel goes\nto one of them: to whoever is free.")
	send(900*ms, "easy")
	send(1000*ms, "easy")
	send(1100*ms, "easy")
	send(1200*ms, "easy")

	e.At(2800 * ms)
	e.Tell("A courier who falls silent has two seconds; then her parcel is another's. Nobody can\ntell whether she was robbed before the delivery or after it, so watch parcel-5: it is\ndelivered twice. Never zero times, sometimes two: that is what \"at least once\" means.")
	send(3000*ms, "canal")

	e.At(6800 * ms)
	e.Tell("A heavy parcel takes three seconds, longer than those two. But a courier at work says\nso, again and again, and keeps it: it is delivered once.")
	send(7*time.Second, "heavy")

	e.At(10500 * ms)
	e.Tell("Nobody is home for the next one. It is tried three times, each wait twice the last,\nand then it has failed: kept, with the reason, for anyone who asks.")
	send(10700*ms, "nobody home")
	check(11*time.Second, "parcel-7")
	check(12500*ms, "parcel-7")
	e.At(12700 * ms)
	e.Tell("To try again without an address is to block the van. Poison\nfails at once.")
	send(12900*ms, "no address")
	check(13200*ms, "parcel-8", "parcel-6")

	e.At(13300 * ms)
	e.Tell("Carl comes as a standby: as long as Ben is free, he has nothing to do. Only when the\nnext parcel comes while Ben is under way is it Carl's.")
	send(13500*ms, "easy")
	send(14100*ms, "easy")
	send(14200*ms, "easy")

	e.At(14800 * ms)
	e.Tell("The other form is a queue group: the telephones of the same shop. Nothing is stored.\nA call that comes before anyone has taken a seat is gone, and nobody is told.")
	call := func(at time.Duration) {
		e.At(at)
		id := e.ID("call")
		err = errors.Join(err, queueing.Offer(ctx, nc, "calls", id, &nats.Msg{}))
		e.Printf("%s rings", id)
	}
	call(15 * time.Second)
	e.At(15800 * ms)
	e.Tell("With two seats taken, each call is for one of them, whoever that is.")
	for i := range 4 {
		call(16*time.Second + time.Duration(i)*100*ms)
	}
	e.At(17500 * ms)
	e.Tell("And a call whose line is cut while they talk is not passed on: at most once.")
	call(17700 * ms)
	return err
}

// phones are two members of a queue group, which of them is not to be known.
func phones(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(15500 * time.Millisecond)
	var answered atomic.Int64
	ended := make(chan error, 2)
	for range cap(ended) {
		m, err := queueing.NewMember(ctx, nc, "calls", queueing.Config{Grace: time.Second, Log: e.Log()})
		if err != nil {
			return err
		}
		go func() {
			ended <- m.Run(ctx, func(context.Context, *nats.Msg) error {
				time.Sleep(200 * time.Millisecond)
				if nc.IsConnected() {
					answered.Add(1)
				}
				return nil
			})
		}()
	}
	e.At(17 * time.Second)
	e.Printf("%d of 5 calls have been answered", answered.Load())
	e.At(17800 * time.Millisecond)
	e.Line("phones").Down()
	e.At(18400 * time.Millisecond)
	e.Line("phones").Up()
	e.At(19 * time.Second)
	e.Printf("%d of 6 calls have been answered, and no other will be", answered.Load())
	return errors.Join(<-ended, <-ended)
}
