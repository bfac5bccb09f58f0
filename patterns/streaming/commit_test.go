package streaming_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// A Processor that was disconnected while another one took over can store nothing
// afterwards, and ends with ErrFenced.
func TestFenced(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		first := run(t, s.JetStream("first"), list, short)
		time.Sleep(100 * time.Millisecond) // lint:bubble: in bubble
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
		require.Equal(t, []string{"green 0-2: a b", "green 4-6: c"}, outcomes(t, js))
		first.cancel()
		require.NoError(t, second.stop())
	})
}

// A commit whose ack is late is found stored: it is not stored again, and not taken for a
// commit of another Processor.
func TestLateAck(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		p := run(t, s.JetStream("slow"), list, short)
		time.Sleep(100 * time.Millisecond)
		s.Link("slow").Delay(6 * time.Second)
		send(t, js, "green", "a", time.Time{})
		time.Sleep(5500 * time.Millisecond) // after 5s the attempt has ended
		s.Link("slow").Delay(0)
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"green 0-2: a"}, outcomes(t, js))
		require.Equal(t, streaming.Counts{Added: 1}, counts(t, js))
		require.NoError(t, p.stop())
	})
}

// Windows of a key close in order, also when one commit closes many, and events of
// one sender stay in order within them.
func TestOrder(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
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
		for _, result := range outcomes(t, js) {
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
