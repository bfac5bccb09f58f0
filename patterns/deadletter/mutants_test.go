package deadletter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/deadletter"
)

var quick = deadletter.Config{MaxDeliver: 10, Backoff: 100 * time.Millisecond}

// consuming is a life that consumes with the handler made for it.
func consuming(handler func(sc *scene, js jetstream.JetStream, cons jetstream.Consumer, crash func(point, body string) bool) (jetstream.MessageHandler, error)) life {
	return func(sc *scene, js jetstream.JetStream, crash func(point, body string) bool) (func(), error) {
		ctx, cancel := context.WithTimeout(sc.t.Context(), 2*time.Second)
		defer cancel()
		cons, err := js.Consumer(ctx, "ORDERS", "packing")
		if err != nil {
			return nil, err
		}
		handle, err := handler(sc, js, cons, crash)
		if err != nil {
			return nil, err
		}
		run, err := cons.Consume(handle, jetstream.PullMaxMessages(2))
		if err != nil {
			return nil, err
		}
		return func() { run.Stop(); <-run.Closed() }, nil
	}
}

// packs has its effect, and can crash before its ack.
// It sleeps in the bubble of its history (lint:bubble).
func packs(sc *scene, crash func(point, body string) bool) deadletter.Handler {
	return func(_ context.Context, msg deadletter.Message) error {
		time.Sleep(50 * time.Millisecond)
		body := string(msg.Data)
		if strings.HasPrefix(body, "poison") {
			return deadletter.ErrPoison
		}
		if strings.HasPrefix(body, "fails") {
			return errors.New("no stock")
		}
		sc.note(" handles %s", body)
		crash("effect", body)
		return nil
	}
}

// failing is a connection that is lost while a letter is published.
func failing(js jetstream.JetStream, crash func(point, body string) bool) jetstream.JetStream {
	return flaky{js, func(point string, m *nats.Msg) bool { return crash(point, string(m.Data)) }}
}

var guarded = form{lives: map[string]life{"worker": consuming(
	func(sc *scene, js jetstream.JetStream, cons jetstream.Consumer, crash func(point, body string) bool) (jetstream.MessageHandler, error) {
		ch, err := deadletter.NewChannel(sc.t.Context(), failing(js, crash), "orders", quick)
		if err != nil {
			return nil, err
		}
		return ch.Guard(sc.t.Context(), cons, packs(sc, crash))
	})}, kept: letterBodies}

// foreign is a worker that was not made for any of this.
var foreign = consuming(func(sc *scene, js jetstream.JetStream, cons jetstream.Consumer, crash func(point, body string) bool) (jetstream.MessageHandler, error) {
	handle := packs(sc, crash)
	return func(msg jetstream.Msg) {
		switch err := handle(context.Background(), deadletter.Message{Data: msg.Data()}); {
		case errors.Is(err, deadletter.ErrPoison):
			_ = msg.Term()
		case err != nil:
			_ = msg.NakWithDelay(200 * time.Millisecond)
		default:
			_ = msg.Ack()
		}
	}, nil
})

var kept = form{maxDeliver: 10, kept: letterBodies, lives: map[string]life{"worker": foreign,
	"collector": func(sc *scene, js jetstream.JetStream, crash func(point, body string) bool) (func(), error) {
		k, err := deadletter.NewCollector(sc.t.Context(), failing(js, crash), "orders", "ORDERS", deadletter.Config{})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(sc.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		return func() { cancel(); <-ended }, nil
	}}}

// mutant counts what is in the stream MUTANT.
func mutant(f form) form {
	f.kept = func(sc *scene) map[string]int {
		got := map[string]int{}
		s, err := sc.js.Stream(sc.t.Context(), "MUTANT")
		if err != nil {
			return got
		}
		for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
			raw, err := s.GetMsg(sc.t.Context(), seq)
			require.NoError(sc.t, err)
			got[string(raw.Data)]++
		}
		return got
	}
	return f
}

func mutantStream(sc *scene, js jetstream.JetStream) error {
	_, err := js.CreateOrUpdateStream(sc.t.Context(), jetstream.StreamConfig{Name: "MUTANT", Subjects: []string{"mutant"}})
	return err
}

// order is the mutant that terminates the message first, or that publishes it without an
// expected sequence.
func order(termFirst bool) form {
	return mutant(form{lives: map[string]life{"worker": consuming(
		func(sc *scene, js jetstream.JetStream, _ jetstream.Consumer, crash func(point, body string) bool) (jetstream.MessageHandler, error) {
			handle, dead := packs(sc, crash), failing(js, crash)
			return func(msg jetstream.Msg) {
				meta, _ := msg.Metadata()
				switch err := handle(context.Background(), deadletter.Message{Data: msg.Data()}); {
				case err == nil:
					_ = msg.Ack()
				case errors.Is(err, deadletter.ErrPoison) || meta.NumDelivered >= 10:
					if termFirst {
						_ = msg.Term()
						time.Sleep(10 * time.Millisecond) // on the wire
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					if _, err := dead.PublishMsg(ctx, &nats.Msg{Subject: "mutant", Data: msg.Data()}); err == nil && !termFirst {
						_ = msg.Term()
					}
				default:
					_ = msg.NakWithDelay(200 * time.Millisecond)
				}
			}, mutantStream(sc, js)
		})}})
}

// listens is the mutant that reads the advisories that are published while it runs.
var listens = mutant(form{maxDeliver: 10, lives: map[string]life{"worker": foreign,
	"collector": func(sc *scene, js jetstream.JetStream, crash func(point, body string) bool) (func(), error) {
		dead := failing(js, crash)
		return sc.advisorySubscriber(js.Conn(), func(data []byte) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = dead.PublishMsg(ctx, &nats.Msg{Subject: "mutant", Data: data})
		}), mutantStream(sc, js)
	}}})

// Wherever a process crashes, and during disconnects and restarts: each message is handled or
// a letter, and then one; and when all letters are requeued, all is handled.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		require.Empty(t, history(t, seed, []form{guarded, kept}[seed%2], true))
	}
}

// The same check catches the wrong ways.
func TestSweepFindsMutants(t *testing.T) {
	for name, c := range map[string]struct {
		form form
		want string
	}{
		"terminates, then publishes": {order(true), "0 times a letter"},
		"publishes without identity": {order(false), "2 times a letter"},
		"listens to advisories":      {listens, "0 times a letter"},
	} {
		t.Run(name, func(t *testing.T) {
			var wrong, all int
			for seed := uint64(0); seed < max(*histories, 6) && (*histories > 10 || wrong == 0); seed++ {
				for _, what := range history(t, seed, c.form, false) {
					if strings.HasSuffix(what, c.want) {
						wrong++
					}
				}
				all += messages * 2 / 5
			}
			t.Logf("%d of %d: %s", wrong, all, c.want)
			require.Positive(t, wrong)
		})
	}
}
