package streaming_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// A Processor that was cut off while another took over can store nothing when it is
// back, and says why it ends.
func TestFenced(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, _ *web) {
		first := run(t, s.JetStream("first"), list, short)
		time.Sleep(100 * time.Millisecond) // lint:bubble: a scene is one
		send(t, js, "green", "a", time.Time{})
		time.Sleep(100 * time.Millisecond)
		s.Link("first").Down()
		second := run(t, s.JetStream("second"), list, short)
		time.Sleep(100 * time.Millisecond)
		send(t, js, "green", "b", time.Time{})
		time.Sleep(4 * time.Second)
		s.Link("first").Up()
		send(t, js, "green", "c", time.Time{})
		time.Sleep(6 * time.Second)
		require.ErrorIs(t, <-first.ended, streaming.ErrFenced)
		require.Equal(t, []string{"green 0-2: a b", "green 4-6: c"}, told(t, js))
		first.cancel()
		require.NoError(t, second.stop())
	})
}

// A commit whose answer did not come in time is found stored, not made again and not
// taken for another Processor's.
func TestLateAnswer(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, _ *web) {
		p := run(t, s.JetStream("slow"), list, short)
		time.Sleep(100 * time.Millisecond)
		s.Link("slow").Delay(6 * time.Second)
		send(t, js, "green", "a", time.Time{})
		time.Sleep(5500 * time.Millisecond) // after 5s it has given up waiting
		s.Link("slow").Delay(0)
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"green 0-2: a"}, told(t, js))
		require.Equal(t, streaming.Counts{Added: 1}, counts(t, js))
		require.NoError(t, p.stop())
	})
}

// Windows of a key close in order, also when one commit closes many, and events of
// one sender stay in order within them.
func TestOrder(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, _ *web) {
		p := run(t, s.JetStream("processor"), list, short)
		t0 := time.Now().Truncate(time.Minute)
		time.Sleep(500 * time.Millisecond)
		const keys = 150 // in four windows: more than one commit holds
		for i := range 4 * keys {
			key, window := fmt.Sprintf("pot-%03d", i%keys), 3-i/keys
			for _, name := range []string{"a", "b"} {
				send(t, js, key, fmt.Sprint(name, window), t0.Add(time.Duration(window)*2*time.Second))
			}
		}
		time.Sleep(10 * time.Second)
		of := map[string][]string{}
		for _, result := range told(t, js) {
			key, rest, _ := strings.Cut(result, " ")
			of[key] = append(of[key], rest)
		}
		require.Len(t, of, keys)
		for _, results := range of {
			require.Equal(t, []string{"0-2: a0 b0", "2-4: a1 b1", "4-6: a2 b2", "6-8: a3 b3"}, results)
		}
		require.NoError(t, p.stop())
	})
}

// Reading what was missed takes time, and what is stored meanwhile is not missed.
func TestWhileCatchingUp(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		s.Link("sse").Delay(50 * time.Millisecond) // of each question it asks
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{})
		time.Sleep(time.Second)
		var want []string
		store := func(n int) {
			for range n {
				want = append(want, fmt.Sprint(len(want)+1))
				result(t, js, "green", want[len(want)-1])
				time.Sleep(20 * time.Millisecond)
			}
		}
		store(10)
		ctx, leave := context.WithCancel(t.Context())
		var seen ledger
		var gone sync.WaitGroup
		gone.Go(func() { w.browser(ctx, "/tea", "0", func(ev sse) { seen.add(ev.id) }) })
		store(60)
		time.Sleep(5 * time.Second)
		leave()
		gone.Wait()
		require.Equal(t, want, seen.list())
		shut()
	})
}

// A browser that was told more by another Server is not told it again.
func TestServerBehind(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{})
		time.Sleep(time.Second)
		s.Link("sse").Down()
		for i := range 3 {
			result(t, js, "green", fmt.Sprint(i))
		}
		ctx, leave := context.WithCancel(t.Context())
		var seen ledger
		var gone sync.WaitGroup
		gone.Go(func() { w.browser(ctx, "/tea", "2", func(ev sse) { seen.add(ev.id) }) })
		time.Sleep(500 * time.Millisecond)
		s.Link("sse").Up()
		time.Sleep(10 * time.Second)
		leave()
		gone.Wait()
		require.Equal(t, []string{"3"}, seen.list())
		shut()
	})
}

// What no Server can tell any more, and what a sender stores twice.
func TestNotPromised(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		for i := range 3 {
			result(t, js, "green", fmt.Sprint(i))
		}
		results, err := js.Stream(t.Context(), "RESULTS_tea")
		require.NoError(t, err)
		require.NoError(t, results.Purge(t.Context(), jetstream.WithPurgeSequence(3))) // as age does
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{FromStart: true})
		resp, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		var seen ledger
		done := make(chan struct{})
		go func() { read(resp, func(ev sse) { seen.add(ev.id) }); close(done) }()
		time.Sleep(time.Second)
		require.Equal(t, []string{"3"}, seen.list(), "1 and 2 are gone, unseen")
		shut()
		<-done
		require.NoError(t, resp.Body.Close())

		require.NoError(t, results.Purge(t.Context()))
		p := run(t, s.JetStream("processor"), list, short)
		for range 2 {
			send(t, js, "black", "twice", time.Time{})
		}
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"black 0-2: twice twice"}, told(t, js))
		require.NoError(t, p.stop())
	})
}
