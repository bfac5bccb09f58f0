// Command schedule plays a hairdresser's day: reminders, a coupon that expires, and a
// nightly report; an intern keeps the time by heart.
package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/schedule"
)

var play = demo.Play{
	Name:    "schedule",
	About:   "a hairdresser's reminders, a coupon that expires and a nightly report: planned, changed, cancelled, and kept over a power cut",
	Lasts:   19500 * ms,
	Streams: []string{"SCHEDULE_salon"},
	Scene:   [2]time.Duration{900 * ms, 4100 * ms},
	Cast:    cast,
}

const ms = time.Millisecond

func main() { play.Main() }

func cast(e *demo.Env) error {
	e.Go("desk", func(ctx context.Context, nc *nats.Conn) error { return desk(ctx, e, nc) })
	e.Go("phone", func(ctx context.Context, nc *nats.Conn) error { return phone(ctx, e, nc) })
	e.Go("intern", func(ctx context.Context, nc *nats.Conn) error { return intern(ctx, e, nc) })
	e.Go("neighbour", func(ctx context.Context, nc *nats.Conn) error { return neighbour(ctx, e, nc) })
	e.Go("till", func(ctx context.Context, nc *nats.Conn) error { return till(ctx, e, nc) })
	return nil
}

func calendar(ctx context.Context, e *demo.Env, nc *nats.Conn) (*schedule.Calendar, error) {
	js, err := e.JetStream(nc)
	if err != nil {
		return nil, err
	}
	return schedule.New(ctx, js, "salon", schedule.Config{Metadata: e.Mark()})
}

// desk plans, and thinks better of it.
func desk(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	c, err := calendar(ctx, e, nc)
	if err != nil {
		return err
	}
	start := e.Start()
	remind := func(id string, at time.Duration, text string) {
		err = errors.Join(err, c.At(ctx, id, start.Add(at), &nats.Msg{Data: []byte(text)}))
	}
	e.At(800 * ms)
	e.Tell("An hour of the salon is a second here. Three customers want to be reminded of their\nappointments. Bob then comes later, and Carol not at all.")
	e.At(1000 * ms)
	remind("alice", 3*time.Second, "Alice, your cut is at four")
	e.At(1200 * ms)
	remind("bob", 3200*ms, "Bob, your shave is at four")
	e.At(1400 * ms)
	remind("carol", 3400*ms, "Carol, your colour is at four")
	e.At(1600 * ms)
	remind("bob", 4*time.Second, "Bob, your shave is at five")
	e.At(1800 * ms)
	cancelled, cerr := c.Cancel(ctx, "carol")
	err = errors.Join(err, cerr)
	if cancelled {
		e.Printf("the desk has cancelled Carol's reminder, and knows that it will not come")
	}
	e.At(2000 * ms)
	plans, lerr := c.List(ctx)
	err = errors.Join(err, lerr)
	for _, p := range plans {
		e.Printf("planned by the %s for %v: %s", p.By, p.Next.Sub(start).Round(10*ms), p.Data)
	}

	e.At(5000 * ms)
	e.Tell("The report is due every five seconds, that is every night. The desk plans it each time it\nopens, and it opens often: what is planned already is left as it is.")
	for i := range 3 {
		e.At(time.Duration(5200+i*700) * ms)
		err = errors.Join(err, c.Cron(ctx, "report", "*/5 * * * * *", "Europe/Amsterdam", &nats.Msg{Data: []byte("the report of the day")}))
	}

	e.At(10400 * ms)
	e.Tell("The intern keeps Dave's reminder by heart, the calendar keeps Erin's, both for 12.00s. There\nis a power cut, and a night falls into it.")
	e.At(10700 * ms)
	remind("erin", 12*time.Second, "Erin, your perm is at noon")
	e.At(11200 * ms)
	e.Printf("the lights go out")
	e.StopServer()
	e.At(16100 * ms)
	err = errors.Join(err, e.StartServer())
	e.Printf("the lights go on")

	e.At(17600 * ms)
	e.Tell("A coupon for the next half second only. One goes by a quick courier, one by a slow one.")
	coupon := func(id string) {
		m := &nats.Msg{Subject: "coupons", Data: []byte(id)}
		schedule.SetDeadline(m, time.Now().Add(500*ms))
		err = errors.Join(err, nc.PublishMsg(m))
	}
	e.At(17800 * ms)
	coupon("coupon-1")
	e.At(18000 * ms)
	e.Line("desk").Delay(700 * ms)
	coupon("coupon-2")
	return err
}

// phone reads out what is due.
func phone(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(300 * ms)
	c, err := calendar(ctx, e, nc)
	if err != nil {
		return err
	}
	cons, err := c.Consumer(ctx, "phone")
	if err != nil {
		return err
	}
	consuming, err := cons.Consume(func(m jetstream.Msg) {
		p, after := schedule.ReadEntry(m), ""
		if !p.Next.IsZero() {
			after = "; the next is at " + p.Next.Sub(e.Start()).Round(10*ms).String()
		}
		e.Printf("the phone says: %s%s", m.Data(), after)
		_ = m.Ack() // else it is said again
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	consuming.Stop()
	<-consuming.Closed()
	return nil
}

// neighbour has no consumer, and listens in.
func neighbour(_ context.Context, e *demo.Env, nc *nats.Conn) error {
	sub, err := nc.SubscribeSync("schedule.salon.*.due")
	if err != nil || !e.At(4300*ms) {
		return err
	}
	heard, _, err := sub.Pending()
	e.Printf("the neighbour, who only listens in, has heard %d reminders: what is due is stored, not published", heard)
	return errors.Join(err, sub.Unsubscribe())
}

// intern keeps the time in a process, which does not survive the power cut.
func intern(_ context.Context, e *demo.Env, nc *nats.Conn) error {
	e.At(10600 * ms)
	var said sync.Once
	timer := time.AfterFunc(time.Until(e.Start().Add(12*time.Second)), func() {
		said.Do(func() { e.Printf("the intern says: Dave, your braids are at noon") })
	})
	e.At(11300 * ms)
	timer.Stop() // he sits in the dark, and forgets
	e.At(17 * time.Second)
	said.Do(func() { e.Printf("the intern says: was there something about Dave?") })
	return nil
}

// till takes coupons, but for those that have expired.
func till(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	filter := schedule.Filter{Refused: func(_ string, _ nats.Header, err error) {
		e.Printf("the till refuses a coupon: %s", strings.TrimPrefix(err.Error(), "schedule: "))
	}}
	sub, err := nc.Subscribe("coupons", filter.Core(func(m *nats.Msg) { e.Printf("the till takes %s", m.Data) }))
	if err != nil {
		return err
	}
	<-ctx.Done()
	return sub.Unsubscribe()
}
