// Command datatype plays a channel of loans: a publisher that uses the channel, one
// that does not, a consumer that validates, and the invalid message channel.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/datatype"
	"github.com/natspatterns/catalog/patterns/schema"
)

var play = demo.Play{
	Name:    "datatype",
	About:   "all messages of a channel have one type: an invalid message is refused, or diverted with its reason",
	Lasts:   9 * time.Second,
	Streams: []string{"DATATYPE_loan", "INVALID_loan"},
	Scene:   [2]time.Duration{1900 * time.Millisecond, 3500 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

const ms = time.Millisecond

type loan struct {
	Book string `json:"book"`
	Days int    `json:"days" jsonschema:"minimum=1"`
}

func cast(e *demo.Env) error {
	for name, act := range map[string]func(context.Context, *demo.Env, jetstream.JetStream, *datatype.Channel[loan]) error{
		"desk": desk, "kiosk": kiosk, "mailer": mailer, "office": office,
	} {
		e.Go(name, func(ctx context.Context, nc *nats.Conn) error {
			js, err := e.JetStream(nc)
			if err != nil {
				return err
			}
			loans, err := schema.Define[loan]("loan")
			if err != nil {
				return err
			}
			channel, err := datatype.NewChannel(ctx, js, "loan", loans, datatype.Config{Log: e.Log(), Metadata: e.Mark()})
			if err != nil {
				return err
			}
			return act(ctx, e, js, channel)
		})
	}
	return nil
}

// desk publishes through the channel.
func desk(ctx context.Context, e *demo.Env, _ jetstream.JetStream, channel *datatype.Channel[loan]) error {
	if !e.At(900 * ms) {
		return nil
	}
	e.Tell("The desk publishes through the channel, which validates. A loan for 0 days is not\npublished.")
	for i, l := range []loan{{"Dune", 14}, {"Emma", 0}} {
		e.At(time.Duration(1000+100*i) * ms)
		if _, err := channel.Publish(ctx, "reader-7", l); err != nil {
			e.Printf("desk: %s is refused: %v", l.Book, err)
		}
	}
	if !e.At(4900 * ms) {
		return nil
	}
	e.Tell("The handler of the mailer returns a temporary error for Ivanhoe: the message is\nredelivered after 1 s. It returns ErrPoison for a banned book: that is diverted.")
	e.At(5000 * ms)
	if _, err := channel.Publish(ctx, "reader-8", loan{"Ivanhoe", 7}); err != nil {
		return err
	}
	e.At(5500 * ms)
	_, err := channel.Publish(ctx, "reader-8", loan{"Ulysses", 7})
	return err
}

// kiosk publishes to the subject of the channel without the channel.
func kiosk(ctx context.Context, e *demo.Env, js jetstream.JetStream, _ *datatype.Channel[loan]) error {
	if !e.At(1900 * ms) {
		return nil
	}
	e.Tell("The kiosk publishes to the same subject without the channel. Its message has no format\nindicator. The mailer stores it in INVALID_loan first, and terminates it second.")
	e.At(2000 * ms)
	if _, err := js.Publish(ctx, "datatype.loan.reader-9", []byte(`{"book":"Faust","days":"two weeks"}`)); err != nil {
		return err
	}
	e.At(3000 * ms)
	_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "datatype.loan.reader-9", Data: []byte(`{"book":"Faust","days":"two weeks"}`), Header: nats.Header{
		"Content-Type": {"application/json"}, schema.HeaderName: {"loan"}, schema.HeaderVersion: {"1"}, schema.HeaderSince: {"1"}}})
	return err
}

// mailer is a consumer of the channel.
func mailer(ctx context.Context, e *demo.Env, js jetstream.JetStream, channel *datatype.Channel[loan]) error {
	if !e.At(300 * ms) {
		return nil
	}
	cons, err := js.CreateConsumer(ctx, "DATATYPE_loan", jetstream.ConsumerConfig{Durable: "mailer", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1})
	if err != nil {
		return err
	}
	handle, err := channel.Guard(ctx, cons, func(_ context.Context, m datatype.Message[loan]) error {
		time.Sleep(10 * ms)
		e.Printf("mailer: %s has %s for %d days, delivery %d", m.Key, m.Value.Book, m.Value.Days, m.Delivery)
		if m.Value.Book == "Ulysses" {
			return fmt.Errorf("%w: banned", datatype.ErrPoison)
		}
		if m.Value.Book == "Ivanhoe" && m.Delivery == 1 {
			return errors.New("no mail server")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return consume(ctx, cons, handle)
}

// office reads the invalid message channel.
func office(ctx context.Context, e *demo.Env, js jetstream.JetStream, _ *datatype.Channel[loan]) error {
	if !e.At(400 * ms) {
		return nil
	}
	cons, err := js.OrderedConsumer(ctx, "INVALID_loan", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	return consume(ctx, cons, func(m jetstream.Msg) {
		time.Sleep(30 * ms)
		h := m.Headers()
		e.Printf("office: message %s, %s: %s", h.Get(datatype.HeaderSequence), h.Get(datatype.HeaderReason), h.Get(datatype.HeaderError))
	})
}

func consume(ctx context.Context, cons jetstream.Consumer, handle jetstream.MessageHandler) error {
	consuming, err := cons.Consume(handle, jetstream.PullExpiry(30*time.Second))
	if err != nil {
		return err
	}
	<-ctx.Done()
	consuming.Stop()
	<-consuming.Closed()
	return nil
}
