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

var quick = deadletter.Config{Tries: 10, Backoff: 100 * time.Millisecond}

// consuming is a life that consumes with the handler made for it.
func consuming(handler func(sc *scene, js jetstream.JetStream, cons jetstream.Consumer, strike func(point, body string) bool) (jetstream.MessageHandler, error)) life {
	return func(sc *scene, js jetstream.JetStream, strike func(point, body string) bool) (func(), error) {
		ctx, cancel := context.WithTimeout(sc.t.Context(), 2*time.Second)
		defer cancel()
		cons, err := js.Consumer(ctx, "ORDERS", "packing")
		if err != nil {
			return nil, err
		}
		handle, err := handler(sc, js, cons, strike)
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

// packs has its effect, and may die before it can say so.
// It sleeps in the bubble of its history (lint:bubble).
func packs(sc *scene, strike func(point, body string) bool) deadletter.Handler {
	return func(_ context.Context, msg *nats.Msg) error {
		time.Sleep(50 * time.Millisecond)
		body := string(msg.Data)
		if strings.HasPrefix(body, "poison") {
			return deadletter.ErrPoison
		}
		if strings.HasPrefix(body, "fails") {
			return errors.New("no stock")
		}
		sc.note(" handles %s", body)
		strike("effect", body)
		return nil
	}
}

// struck is a connection whose letters die on the way.
func struck(js jetstream.JetStream, strike func(point, body string) bool) jetstream.JetStream {
	return flaky{js, func(point string, m *nats.Msg) bool { return strike(point, string(m.Data)) }}
}

var guarded = form{lives: map[string]life{"worker": consuming(
	func(sc *scene, js jetstream.JetStream, cons jetstream.Consumer, strike func(point, body string) bool) (jetstream.MessageHandler, error) {
		ch, err := deadletter.NewChannel(sc.t.Context(), struck(js, strike), "orders", quick)
		if err != nil {
			return nil, err
		}
		return ch.Guard(sc.t.Context(), cons, packs(sc, strike))
	})}, kept: letterBodies}

// foreign is a worker that was not made for any of this.
var foreign = consuming(func(sc *scene, js jetstream.JetStream, cons jetstream.Consumer, strike func(point, body string) bool) (jetstream.MessageHandler, error) {
	handle := packs(sc, strike)
	return func(msg jetstream.Msg) {
		switch err := handle(context.Background(), &nats.Msg{Data: msg.Data()}); {
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
	"keeper": func(sc *scene, js jetstream.JetStream, strike func(point, body string) bool) (func(), error) {
		k, err := deadletter.NewKeeper(sc.t.Context(), struck(js, strike), "orders", "ORDERS", deadletter.Config{})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(sc.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		return func() { cancel(); <-ended }, nil
	}}}

// twin keeps in the stream TWIN what was given to it.
func twin(f form) form {
	f.kept = func(sc *scene) map[string]int {
		got := map[string]int{}
		s, err := sc.js.Stream(sc.t.Context(), "TWIN")
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

func twinStream(sc *scene, js jetstream.JetStream) error {
	_, err := js.CreateOrUpdateStream(sc.t.Context(), jetstream.StreamConfig{Name: "TWIN", Subjects: []string{"twin"}})
	return err
}

// order is the twin that takes the message from its stream first, or that publishes
// it without an identity.
func order(termFirst bool) form {
	return twin(form{lives: map[string]life{"worker": consuming(
		func(sc *scene, js jetstream.JetStream, _ jetstream.Consumer, strike func(point, body string) bool) (jetstream.MessageHandler, error) {
			handle, dead := packs(sc, strike), struck(js, strike)
			return func(msg jetstream.Msg) {
				meta, _ := msg.Metadata()
				switch err := handle(context.Background(), &nats.Msg{Data: msg.Data()}); {
				case err == nil:
					_ = msg.Ack()
				case errors.Is(err, deadletter.ErrPoison) || meta.NumDelivered >= 10:
					if termFirst {
						_ = msg.Term()
						time.Sleep(10 * time.Millisecond) // on the wire
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					if _, err := dead.PublishMsg(ctx, &nats.Msg{Subject: "twin", Data: msg.Data()}); err == nil && !termFirst {
						_ = msg.Term()
					}
				default:
					_ = msg.NakWithDelay(200 * time.Millisecond)
				}
			}, twinStream(sc, js)
		})}})
}

// listens is the twin that keeps what it is told of while it is up.
var listens = twin(form{maxDeliver: 10, lives: map[string]life{"worker": foreign,
	"keeper": func(sc *scene, js jetstream.JetStream, strike func(point, body string) bool) (func(), error) {
		dead := struck(js, strike)
		return sc.gatherer(js.Conn(), func(data []byte) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = dead.PublishMsg(ctx, &nats.Msg{Subject: "twin", Data: data})
		}), twinStream(sc, js)
	}}})

// Wherever a process dies, whatever is cut or restarted: each message is handled or
// a letter, and then one; and when all letters are requeued, all is handled.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		require.Empty(t, history(t, seed, []form{guarded, kept}[seed%2], true))
	}
}

// The same check catches the wrong ways.
func TestSweepTwins(t *testing.T) {
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
