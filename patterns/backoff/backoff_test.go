package backoff_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// A message is tried at ever longer intervals, kept by the consumer while they are
// short and by the stream when they are long, until it is done or given up.
func TestRetry(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Policy: steady, Tries: 6, Breaker: open}
		b := newBank(0, func(id string, at time.Duration) bool { return id == "pay-1" || at < 2*time.Second })
		start(t, js, cfg, b.book)
		send(t, js, cfg, "pay-1")
		time.Sleep(500 * time.Millisecond)
		send(t, js, cfg, "pay-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{
			"0s pay-1 try 1", "500ms pay-2 try 1", "1s pay-1 try 2", "1.5s pay-2 try 2", "3s pay-1 try 3", "3.5s pay-2 try 3",
			"7s pay-1 try 4", "15s pay-1 try 5", "31s pay-1 try 6",
		}, b.lines())
		tries, reason := failed(t, js, "pay-1")
		require.Equal(t, 6, tries)
		require.Equal(t, errDown.Error(), reason)
		_, left := stream(t, js)
		require.Equal(t, 1, left, "nothing but what was given up")
	})
}

// Poison is given up at once, and says nothing of the dependency.
func TestPoison(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		var calls atomic.Int64
		cfg := backoff.Config{Hands: 1}
		start(t, js, cfg, func(context.Context, backoff.Message) error {
			calls.Add(1)
			return fmt.Errorf("%w: no such account\r\nX: y", backoff.ErrPoison)
		})
		send(t, js, cfg, numbered(1, 20)...)
		time.Sleep(time.Minute)
		require.EqualValues(t, 20, calls.Load())
		tries, reason := failed(t, js, "pay-20")
		require.Equal(t, 1, tries)
		require.Equal(t, "backoff: poison: no such account  X: y", reason)
	})
}
