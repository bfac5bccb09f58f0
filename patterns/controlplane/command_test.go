package controlplane_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

func tell(t *testing.T, s *natstest.Server, to controlplane.Target, c controlplane.Command) ([]controlplane.Answer, error) {
	t.Helper()
	return controlplane.Tell(t.Context(), s.Connect("teller"), to, c, 0, controlplane.Config{})
}

func TestTell(t *testing.T) {
	flush := controlplane.Command{ID: "c-1", Name: "flush", Args: "all"}
	for _, tc := range []struct {
		name string
		act  func(t *testing.T, s *natstest.Server, one, two *instance)
	}{
		{"to one", func(t *testing.T, s *natstest.Server, one, two *instance) {
			got, err := tell(t, s, controlplane.Target{Service: "web", Instance: "web-1"}, flush)
			require.NoError(t, err)
			require.Equal(t, []controlplane.Answer{{Service: "web", Instance: "web-1", Text: "done by web-1"}}, got)
			require.Equal(t, []string{"flush all"}, one.done())
			require.Empty(t, two.done())
		}},
		{"to a service", func(t *testing.T, s *natstest.Server, one, two *instance) {
			got, err := tell(t, s, controlplane.Target{Service: "web"}, flush)
			require.NoError(t, err)
			require.Len(t, got, 2)
			require.Equal(t, []string{"flush all"}, one.done())
			require.Equal(t, []string{"flush all"}, two.done())
		}},
		{"to all", func(t *testing.T, s *natstest.Server, _, _ *instance) {
			got, err := tell(t, s, controlplane.Target{}, flush)
			require.NoError(t, err)
			require.Len(t, got, 2)
		}},
		{"to nobody", func(t *testing.T, s *natstest.Server, _, _ *instance) {
			start := time.Now()
			_, err := tell(t, s, controlplane.Target{Service: "mail"}, flush)
			require.ErrorIs(t, err, controlplane.ErrNobody)
			require.Zero(t, time.Since(start))
		}},
		{"who is away misses it", func(t *testing.T, s *natstest.Server, one, two *instance) {
			s.Link("web-2").Down()
			time.Sleep(time.Second)
			got, err := tell(t, s, controlplane.Target{Service: "web"}, flush)
			require.NoError(t, err)
			require.Len(t, got, 1)
			s.Link("web-2").Up()
			time.Sleep(time.Minute)
			require.Empty(t, two.done())
			require.Len(t, one.done(), 1)
		}},
		{"sent again, it is answered again and not done again", func(t *testing.T, s *natstest.Server, one, _ *instance) {
			for range 3 {
				got, err := tell(t, s, controlplane.Target{Service: "web", Instance: "web-1"}, flush)
				require.NoError(t, err)
				require.Equal(t, "done by web-1", got[0].Text)
			}
			require.Equal(t, []string{"flush all"}, one.done())
		}},
		{"for an older generation it is refused", func(t *testing.T, s *natstest.Server, one, _ *instance) {
			var first, second uint64
			end := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
				first = set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
				time.Sleep(time.Second)
				second = set(ctx, t, term, "", controlplane.Desired{State: controlplane.Paused})
			})
			time.Sleep(5 * time.Second)
			end()
			for id, gen := range map[string]uint64{"stale": first, "current": second} {
				got, err := tell(t, s, controlplane.Target{Service: "web", Instance: "web-1"}, controlplane.Command{ID: id, Name: "flush", Generation: gen})
				require.NoError(t, err)
				require.Equal(t, id == "stale", strings.HasPrefix(got[0].Refused, "stale: "), got)
			}
			require.Len(t, one.done(), 3)
		}},
		{"a panic is a refusal, and the next command is done", func(t *testing.T, s *natstest.Server, one, _ *instance) {
			got, err := tell(t, s, controlplane.Target{Service: "web", Instance: "web-1"}, controlplane.Command{ID: "c-0", Name: "break"})
			require.NoError(t, err)
			require.Equal(t, "panic: out of range", got[0].Refused)
			got, err = tell(t, s, controlplane.Target{Service: "web", Instance: "web-1"}, flush)
			require.NoError(t, err)
			require.Equal(t, "done by web-1", got[0].Text)
			require.Len(t, one.done(), 2)
		}},
		{"what is not understood is refused", func(t *testing.T, s *natstest.Server, one, _ *instance) {
			msg, err := s.Connect("teller").Request("control.one.web.web-1", []byte("{"), time.Second)
			require.NoError(t, err)
			require.Contains(t, string(msg.Data), "not understood")
			require.Empty(t, one.done())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				one, two := join(t, s, "web-1", nil), join(t, s, "web-2", nil)
				tc.act(t, s, one, two)
				one.end()
				two.end()
			})
		})
	}
}

func TestErrors(t *testing.T) {
	s := natstest.Start(t)
	ctx, nc := t.Context(), s.Connect("t")
	js := natstest.JetStream(t, nc)
	for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("x", 5000)} {
		_, err := controlplane.NewController(ctx, js, id, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.NewAgent(ctx, js, id, "web-1", controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.NewAgent(ctx, js, "web", id, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.Reports(ctx, js, id, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.Tell(ctx, nc, controlplane.Target{}, controlplane.Command{ID: id, Name: "x"}, 0, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
	}
	_, err := controlplane.Tell(ctx, nc, controlplane.Target{Instance: "web-1"}, controlplane.Command{ID: "x", Name: "x"}, 0, controlplane.Config{})
	require.ErrorIs(t, err, controlplane.ErrConfig)
	for field, cfg := range map[string]controlplane.Config{
		"Bucket": {Bucket: "a.b"}, "Lease": {Lease: time.Millisecond}, "Retry": {Retry: -1}, "Grace": {Grace: -1}, "Replicas": {Replicas: 9},
	} {
		_, err := controlplane.NewController(ctx, js, "ann", cfg)
		require.ErrorIs(t, err, controlplane.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	c, err := controlplane.NewController(ctx, js, "ann", controlplane.Config{})
	require.NoError(t, err)
	err = c.Run(ctx, func(ctx context.Context, term *controlplane.Term) error {
		for _, d := range []controlplane.Desired{{}, {State: "sleeping"}, {State: "running", LogLevel: "loud"}, {State: "running", Rate: -1}} {
			_, err := term.Set(ctx, "web", "", d)
			require.ErrorIs(t, err, controlplane.ErrConfig)
		}
		_, err := term.Set(ctx, "we.b", "", controlplane.Desired{State: "running"})
		require.ErrorIs(t, err, controlplane.ErrID)
		return nats.ErrInvalidMsg // whatever lead fails with ends Run
	})
	require.ErrorIs(t, err, nats.ErrInvalidMsg)
	require.ErrorIs(t, c.Run(ctx, nil), controlplane.ErrTwice)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = controlplane.NewAgent(ended, js, "web", "web-1", controlplane.Config{})
	require.ErrorIs(t, err, context.Canceled)
	a, err := controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
	require.NoError(t, err)
	require.NoError(t, a.Run(ended, controlplane.Handlers{Apply: func(context.Context, controlplane.Desired) error { return nil }}))
	require.ErrorIs(t, a.Run(ctx, controlplane.Handlers{}), controlplane.ErrTwice)
	a, err = controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
	require.NoError(t, err)
	require.ErrorIs(t, a.Run(ctx, controlplane.Handlers{}), controlplane.ErrConfig)
}

// Who has more time than 5s may use it.
func TestTellDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		deaf := s.Connect("deaf")
		_, err := deaf.SubscribeSync("control.all")
		require.NoError(t, err)
		require.NoError(t, deaf.Flush())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err = controlplane.Tell(ctx, s.Connect("teller"), controlplane.Target{}, controlplane.Command{ID: "c-1", Name: "flush"}, 0, controlplane.Config{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 20*time.Second, time.Since(start))
	})
}
