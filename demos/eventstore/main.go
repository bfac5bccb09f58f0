// Command eventstore plays a savings bank: two tellers at one account, an answer
// that is lost, an auditor who goes to lunch, a branch that still does it the old
// way, and a customer who wants to be forgotten.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

var play = demo.Play{
	Name:    "eventstore",
	About:   "a savings bank: two tellers decide on one balance, an answer is lost, an auditor misses nothing, a customer is erased",
	Lasts:   16 * time.Second,
	Streams: []string{"ACCOUNTS"},
	Scene:   [2]time.Duration{900 * time.Millisecond, 4700 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	e.Go("anna", func(ctx context.Context, nc *nats.Conn) error { return anna(ctx, e, nc) })
	e.Go("ben", func(ctx context.Context, nc *nats.Conn) error { return ben(ctx, e, nc) })
	e.Go("auditor", func(ctx context.Context, nc *nats.Conn) error { return auditor(ctx, e, nc) })
	e.Go("branch", func(ctx context.Context, nc *nats.Conn) error { return branch(ctx, e, nc) })
	return nil
}

const ms = time.Millisecond

// open returns the bank's accounts, and what it takes to enter something in one.
func open(ctx context.Context, e *demo.Env, nc *nats.Conn) (*eventstore.Store, error) {
	js, err := e.JetStream(nc)
	if err != nil {
		return nil, err
	}
	return eventstore.New(ctx, js, "accounts", eventstore.Config{Metadata: e.Mark(), Log: e.Log()})
}

// change is what an event does to a balance, in euros.
func change(ev eventstore.Event) (euros int, err error) {
	switch ev.Type {
	case "deposited", "withdrawn", "charged":
		err = ev.Decode(&euros)
	}
	if ev.Type != "deposited" {
		euros = -euros
	}
	return euros, err
}

// balance replays what happened after a version.
func balance(ctx context.Context, store *eventstore.Store, euros int, v eventstore.Version) (int, eventstore.Version, int, error) {
	read := 0
	for ev, err := range store.Load(ctx, "ann", v) {
		if err != nil {
			return 0, v, read, err
		}
		d, err := change(ev)
		if err != nil {
			return 0, v, read, err
		}
		euros, v, read = euros+d, ev.Version, read+1
	}
	return euros, v, read, nil
}

// slip is a form that a customer has signed: it has a number, and is valid once.
func slip(e *demo.Env, kind string, euros any) (eventstore.Event, error) {
	return eventstore.NewEvent(e.ID("slip"), kind, euros)
}

func auditor(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(100 * ms)
	store, err := open(ctx, e, nc)
	if err != nil {
		return err
	}
	sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "auditor"})
	if err != nil {
		return err
	}
	sum, lines := 0, 0
	return sub.Run(ctx, func(_ context.Context, ev eventstore.Event) error {
		d, err := change(ev)
		if err != nil {
			return err
		}
		sum, lines = sum+d, lines+1
		if ev.Type == eventstore.Deleted {
			e.Printf("auditor: %s is gone from the bank. I still have %d lines on her: those are mine to burn", ev.Entity, lines)
			return nil
		}
		e.Printf("auditor: line %d, %s %s, makes %d", ev.Version.N, ev.Type, ev.Data, sum)
		return nil
	})
}

func ben(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(200 * ms)
	store, err := open(ctx, e, nc)
	if err != nil {
		return err
	}
	e.At(1300 * ms)
	euros, v, _, err := balance(ctx, store, 0, eventstore.Version{})
	if err != nil {
		return err
	}
	e.Printf("ben reads %d at version %d: 50 is possible", euros, v.N)
	withdraw, err := slip(e, "withdrawn", 50)
	if err != nil {
		return err
	}
	e.At(1700 * ms)
	_, err = store.Append(ctx, "ann", v, withdraw)
	var conflict *eventstore.Conflict
	if !errors.As(err, &conflict) {
		return fmt.Errorf("ben was not stopped: %w", err)
	}
	e.Printf("ben is refused: %v", conflict)
	e.At(1900 * ms)
	if euros, v, _, err = balance(ctx, store, euros, v); err != nil {
		return err
	}
	e.Printf("ben reads on from there: %d at version %d. He says no, and nothing was paid twice", euros, v.N)

	e.At(9200 * ms)
	if euros, v, _, err = balance(ctx, store, 0, eventstore.Version{}); err != nil {
		return err
	}
	if err := store.SaveSnapshot(ctx, "ann", v, euros); err != nil {
		return err
	}
	e.Printf("ben notes on the cover: %d at version %d", euros, v.N)
	e.At(9600 * ms)
	var cover int
	if v, err = store.Snapshot(ctx, "ann", &cover); err != nil {
		return err
	}
	euros, v, read, err := balance(ctx, store, cover, v)
	if err != nil {
		return err
	}
	e.Printf("ben reads the cover and %d line: %d at version %d", read, euros, v.N)
	return nil
}

func anna(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	store, err := open(ctx, e, nc)
	if err != nil {
		return err
	}
	var v eventstore.Version
	enter := func(events ...eventstore.Event) {
		if err == nil {
			v, err = store.Append(ctx, "ann", v, events...)
		}
	}
	form := func(kind string, euros any) (ev eventstore.Event) {
		if err == nil {
			ev, err = slip(e, kind, euros)
		}
		return ev
	}

	e.At(400 * ms)
	e.Tell("Ann opens an account with 100 euros. The book has a line for each thing that happened;\nthese two go in together or not at all, and the auditor reads the same lines.")
	e.At(500 * ms)
	enter(form("opened", "Ann"), form("deposited", 100))

	e.At(1000 * ms)
	e.Tell("Two tellers now read the same balance, and each sees that there is enough. Together\nthere is not.")
	e.At(1100 * ms)
	e.Printf("anna reads 100 at version %d: 80 is possible", v.N)
	e.At(1500 * ms)
	enter(form("withdrawn", 80))
	e.At(1600 * ms) // not in the instant in which the auditor speaks
	e.Printf("anna enters the withdrawal of 80, as version %d", v.N)

	e.At(2600 * ms)
	e.Tell("Anna enters a deposit of 50, and her line is slow: she waits half a second and hears\nnothing. Was it entered? Only the book knows. So she hands in the same slip again.")
	e.At(2800 * ms)
	deposit := form("deposited", 50)
	if err != nil {
		return err
	}
	e.Line("anna").Delay(700 * ms)
	hurried, cancel := context.WithTimeout(ctx, 500*ms)
	defer cancel()
	if _, err := store.Append(hurried, "ann", v, deposit); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("anna heard something: %w", err)
	}
	e.Printf("anna does not know")
	e.Line("anna").Delay(0)
	e.At(4400 * ms)
	enter(deposit)
	e.Printf("anna asks again and hears: it is in, as version %d. Once", v.N)

	e.At(5 * time.Second)
	e.Tell("The auditor goes to lunch, and is cut off. Life goes on; when he is back he reads on\nwhere he was. Nobody keeps a list of what to tell him: the book is the list.")
	e.At(5100 * ms)
	e.Line("auditor").Down()
	e.At(5500 * ms)
	enter(form("withdrawn", 30))
	e.At(6 * time.Second)
	enter(form("charged", 1), form("deposited", 200))
	e.Printf("anna has entered three more lines, up to version %d", v.N)
	e.At(7 * time.Second)
	e.Line("auditor").Up()

	e.At(9 * time.Second)
	e.Tell("Reading a long book from the first page takes long. A note on the cover helps, and if\nit is lost, nothing is.")
	e.At(9400 * ms)
	enter(form("charged", 1))

	e.At(13 * time.Second)
	e.Tell("Ann moves abroad and asks to be forgotten. Events are not changed, but a person can be\nerased: what is left says only that there was somebody.")
	e.At(13200 * ms)
	if err == nil {
		err = store.Erase(ctx, "ann")
	}
	e.At(13500 * ms)
	for ev, fail := range store.Load(ctx, "ann", eventstore.Version{}) {
		err = errors.Join(err, fail)
		e.Printf("anna finds one line: %d %s", ev.Version.N, ev.Type)
	}
	late := form("withdrawn", 5)
	e.At(13800 * ms)
	_, fail := store.Append(ctx, "ann", v, late)
	e.Printf("a slip that arrives late: %v", fail)
	return err
}

// branch does it the old way: a database, and a message about it.
func branch(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	sub, err := nc.SubscribeSync("branch.changed")
	if err != nil {
		return err
	}
	e.At(10500 * ms)
	e.Tell("A branch still does it the old way: it writes to a database, and then sends word. Two\nsteps, and between the second customer's two the power fails.")
	database, heard := 0, 0
	for i, at := range []time.Duration{10800 * ms, 11100 * ms, 11400 * ms} {
		e.At(at)
		database += 100
		if i == 1 {
			e.Printf("the branch writes 100 to its database, and the lights go out")
			continue // whoever starts again finds the database in order, and the word unsaid
		}
		if err := nc.Publish("branch.changed", []byte("100")); err != nil {
			return err
		}
		if _, err := sub.NextMsgWithContext(ctx); err != nil {
			return err
		}
		heard += 100
		e.Printf("the branch writes 100 and sends word")
	}
	e.At(11800 * ms)
	e.Printf("its database says %d, the world has heard of %d, and no one will ever notice", database, heard)
	return nil
}
