// Command perkey plays a bank: deposits and withdrawals are booked as they come, then
// in one order for all, then in the order of each account.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/wire"
	"github.com/natspatterns/catalog/patterns/perkey"
)

var play = demo.Play{
	Name:    "perkey",
	About:   "deposit 100, withdraw 20: booked as they come, then all in one order, then by account; a gap, and a clerk who faints",
	Lasts:   20 * time.Second,
	Streams: []string{"PERKEY_accounts", "PERKEY_together"},
	Scene:   [2]time.Duration{5900 * ms, 8700 * ms},
	Draw: func(a wire.Arrow) bool {
		return a.From != "hasty" && a.To != "hasty" && a.From != "single" && a.To != "single" && a.From != "ned" && a.To != "ned"
	},
	Cast: cast,
}

func main() { play.Main() }

const ms = time.Millisecond

func config(e *demo.Env) perkey.Config {
	return perkey.Config{
		GapTimeout: 2 * time.Second, Takeover: 4 * time.Second, Grace: 100 * ms, Log: e.Log(), Metadata: e.Mark(),
		Missing: func(_ context.Context, key string, from, to uint64) ([]perkey.Event, error) {
			e.Printf("event %d of %s does not come; the branch is asked, and tells", from, key)
			return []perkey.Event{booking(key, from, "+100")}, nil
		},
	}
}

func booking(account string, version uint64, what string) perkey.Event {
	return perkey.Event{Key: account, Version: version, Data: []byte(account + " " + what)}
}

func cast(e *demo.Env) error {
	old, one, books := newBooks(e), newBooks(e), newBooks(e)
	e.Go("bank", func(ctx context.Context, nc *nats.Conn) error { return bank(ctx, e, nc) })
	e.Go("hasty", func(ctx context.Context, nc *nats.Conn) error { return hasty(ctx, e, nc, old) })
	e.Go("single", func(ctx context.Context, nc *nats.Conn) error {
		return clerk(ctx, e, nc, 300*ms, "together", desk{one, "one order for all", nil})
	})
	faints := make(chan struct{})
	e.Go("mary", func(ctx context.Context, nc *nats.Conn) error {
		return clerk(ctx, e, nc, 450*ms, "accounts", desk{books, "mary", faints})
	})
	e.Go("ned", func(ctx context.Context, nc *nats.Conn) error {
		return clerk(ctx, e, nc, 800*ms, "accounts", desk{books, "ned", nil})
	})
	e.Go("doctor", func(context.Context, *nats.Conn) error {
		if e.At(10100 * ms) {
			close(faints)
			e.Line("mary").Down()
			e.Printf("mary faints, the deposit in her hand")
		}
		return nil
	})
	return nil
}

func bank(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	publish := func(at time.Duration, topic string, events ...perkey.Event) {
		e.At(at)
		for _, event := range events {
			err = errors.Join(err, perkey.Publish(ctx, js, topic, event))
		}
	}
	for _, topic := range []string{"accounts", "together"} {
		err = errors.Join(err, perkey.Provision(ctx, js, topic, "books", config(e)))
	}
	if err != nil {
		return err
	}
	e.At(900 * ms)
	e.Tell("Deposit 100, then withdraw 20. Counting a hundred takes a clerk 300 ms, twenty takes\nhim 100. The hasty clerks take what comes, each what he gets. At Mary's desk one\nlooks at the account: event 2 of it waits for event 1.")
	publish(1000*ms, "accounts", booking("alice", 1, "+100"))
	publish(1010*ms, "accounts", booking("alice", 2, "-20"))

	e.At(2900 * ms)
	e.Tell("To have order one can number all events, and keep the last number for all. Right it is;\nbut now four customers wait for each other. By account, they do not.")
	names := []string{"bob", "carol", "dave", "erin"}
	for i, name := range names {
		at := time.Duration(3000+20*i) * ms
		all := booking(name, uint64(i)+1, "+100")
		all.Key = "all"
		publish(at, "together", all)
		publish(at+10*ms, "accounts", booking(name, 1, "+100"))
	}

	e.At(5800 * ms)
	e.Tell("Frank's deposit lies in a branch that is slow to send; he withdraws at a machine. His\nwithdrawal is held. It waits for two seconds; then the branch is asked. Grace does not wait.")
	publish(6000*ms, "accounts", booking("frank", 2, "-20"))
	publish(6100*ms, "accounts", booking("grace", 1, "+100"))
	publish(8600*ms, "accounts", booking("frank", 1, "+100"))
	e.Printf("frank's deposit comes after all, and changes nothing")

	e.At(9800 * ms)
	e.Tell("Ned stands by. When Mary faints, the server gives him her partitions and what she had,\nonce she has not been heard of for four seconds. In between comes the withdrawal.")
	publish(10000*ms, "accounts", booking("heidi", 1, "+100"))
	publish(11000*ms, "accounts", booking("heidi", 2, "-20"))

	e.At(16800 * ms)
	e.Tell("What no order helps against: the bank numbers two events alike. One counts, the other is\ntaken for its repeat.")
	publish(17000*ms, "accounts", booking("ivan", 1, "+100"))
	publish(17100*ms, "accounts", booking("ivan", 1, "+500"))
	e.At(18 * time.Second)
	e.Printf("ivan's 500 are nowhere")
	return err
}

// clerk books what comes on a topic, in order.
func clerk(ctx context.Context, e *demo.Env, nc *nats.Conn, at time.Duration, topic string, d desk) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(at) {
		return err
	}
	dispatcher, err := perkey.NewDispatcher(ctx, js, topic, "books", config(e))
	if err != nil {
		return err
	}
	return dispatcher.Run(ctx, d)
}

// hasty has two clerks book what comes, as it comes.
func hasty(ctx context.Context, e *demo.Env, nc *nats.Conn, b *books) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(600*ms) {
		return err
	}
	c, err := js.CreateConsumer(ctx, "PERKEY_accounts", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	batch, err := c.Fetch(2, jetstream.FetchMaxWait(2*time.Second))
	if err != nil {
		return err
	}
	var clerks []chan error
	for m := range batch.Messages() {
		done := make(chan error, 1)
		clerks = append(clerks, done)
		go func() {
			account, amount, err := booked(m.Data())
			if err != nil {
				done <- err
				return
			}
			time.Sleep(counting(amount) + 50*ms)
			b.book("hasty clerks", account, amount)
			done <- m.Ack()
		}()
	}
	for _, done := range clerks {
		err = errors.Join(err, <-done)
	}
	return errors.Join(err, batch.Error())
}
