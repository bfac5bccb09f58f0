// Command sequence plays a telegraph office: the words of a telegram come by several
// routes, in any order, and a clerk hands them on in the right one.
package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/wire"
	"github.com/natspatterns/catalog/patterns/sequence"
)

var play = demo.Play{
	Name:    "sequence",
	About:   "the words of a telegram come shuffled: a clerk puts them in order, waits for one, does without another",
	Lasts:   16 * time.Second,
	Streams: []string{"WORDS", "SEQUENCE_telegrams"},
	Scene:   [2]time.Duration{900 * time.Millisecond, 2 * time.Second},
	Draw:    func(a wire.Arrow) bool { return a.From != "impatient" && a.To != "impatient" },
	Cast:    cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	e.Go("office", func(ctx context.Context, nc *nats.Conn) error { return office(ctx, e, nc) })
	e.Go("clerk", func(ctx context.Context, nc *nats.Conn) error {
		js, err := e.JetStream(nc)
		if err != nil || !e.At(250*time.Millisecond) {
			return err
		}
		r, err := sequence.NewResequencer(ctx, js, "WORDS", "telegrams", sequence.Config{
			GapTimeout: 2 * time.Second, Log: e.Log(), Metadata: e.Mark(),
			Missing: func(g sequence.Gap) sequence.Decision {
				if g.ID == "telegram-3" {
					e.Printf("the clerk misses word %d of %s, and goes on without", g.From, g.ID)
					return sequence.Skip
				}
				e.Printf("the clerk misses word %d of %s, and waits", g.From, g.ID)
				return sequence.Wait
			},
		})
		if err != nil {
			return err
		}
		return r.Run(ctx)
	})
	e.Go("impatient", func(ctx context.Context, nc *nats.Conn) error { return read(ctx, e, nc, "impatient", "WORDS") })
	e.Go("reader", func(ctx context.Context, nc *nats.Conn) error {
		return read(ctx, e, nc, "reader", "SEQUENCE_telegrams")
	})
	return nil
}

// read reads a stream, and says what it has of a telegram when the last word is in.
func read(ctx context.Context, e *demo.Env, nc *nats.Conn, who, stream string) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(500*time.Millisecond) {
		return err
	}
	cons, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	words := map[string][]string{}
	c, err := cons.Consume(func(m jetstream.Msg) {
		p, err := sequence.At(m.Headers())
		if err != nil {
			return
		}
		words[p.ID] = append(words[p.ID], string(m.Data()))
		if p.Last {
			if who == "reader" {
				time.Sleep(20 * time.Millisecond) // she is not one to hurry
			}
			e.Printf("%s reads %s: %s", who, p.ID, strings.Join(words[p.ID], " "))
		}
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	c.Stop()
	<-c.Closed()
	return nil
}

func office(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "WORDS", Subjects: []string{"words"}, AllowAtomicPublish: true, Metadata: e.Mark()})
	// come has words of a telegram come, by number and in that order, ten a second.
	come := func(at time.Duration, id, text string, numbers ...int) {
		words := strings.Fields(text)
		for i, n := range numbers {
			e.At(at + time.Duration(i)*100*time.Millisecond)
			m := &nats.Msg{Subject: "words", Data: []byte(words[n-1])}
			fail := sequence.Stamp(m, sequence.Position{ID: id, Number: uint64(n), Last: n == len(words)})
			if fail == nil {
				_, fail = js.PublishMsg(ctx, m)
			}
			err = errors.Join(err, fail)
		}
	}
	e.Tell("A telegram comes word by word, by three routes. One who reads the words as they\ncome cannot make sense of them; the clerk puts them in order by their numbers.")
	come(time.Second, "telegram-1", "MEET ME AT THE STATION", 2, 5, 1)
	come(1300*time.Millisecond, "telegram-1", "MEET ME AT THE STATION", 4, 3)

	e.At(2500 * time.Millisecond)
	e.Tell("Of the next one, a word is lost on the way. The clerk has two seconds' patience,\nthen asks, and is told to wait. The word is sent again.")
	come(3*time.Second, "telegram-2", "BRING THE RED UMBRELLA", 1, 2, 4)
	come(6500*time.Millisecond, "telegram-2", "BRING THE RED UMBRELLA", 3)

	e.At(7500 * time.Millisecond)
	e.Tell("Now the clerk is told to go on without. What comes of that depends on the word.")
	come(8*time.Second, "telegram-3", "DO NOT TRUST THE CLERK", 1, 3, 4, 5)
	come(11*time.Second, "telegram-3", "DO NOT TRUST THE CLERK", 2)

	e.At(12 * time.Second)
	e.Tell("A telegram may also be sent whole, or not at all: here the third word has an\naddress that nobody serves.")
	e.At(12500 * time.Millisecond)
	whole := func(id, third string) error {
		var msgs []*nats.Msg
		for i, w := range []string{"ALL", "IS", "WELL"} {
			m := &nats.Msg{Subject: "words", Data: []byte(w)}
			if i == 2 {
				m.Subject = third
			}
			msgs = append(msgs, m)
		}
		return sequence.Send(ctx, js, id, msgs...)
	}
	if fail := whole("telegram-4", "nowhere"); fail != nil {
		e.Printf("the office cannot send telegram-4, and has sent none of it")
	}
	e.At(13 * time.Second)
	return errors.Join(err, whole("telegram-5", "words"))
}
