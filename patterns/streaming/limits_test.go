package streaming_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// A full feed refuses events. While RESULTS_<flow> is full, the Processor waits; it loses
// nothing.
func TestFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, cfg := s.JetStream("test"), short
		cfg.MaxBytes = 64 << 10
		p := run(t, s.JetStream("processor"), list, cfg)
		time.Sleep(time.Second)
		fill := func(subject string) (err error) {
			for err == nil {
				_, err = js.Publish(t.Context(), subject, make([]byte, 4<<10))
			}
			for err = nil; err == nil; {
				_, err = js.Publish(t.Context(), subject, nil)
			}
			return err
		}
		require.ErrorContains(t, fill("results.tea.other"), "maximum bytes exceeded")
		send(t, js, "green", "a", time.Time{})
		time.Sleep(10 * time.Second)
		require.Equal(t, streaming.Counts{}, counts(t, js), "no commit fits")
		results, err := js.Stream(t.Context(), "RESULTS_tea")
		require.NoError(t, err)
		require.NoError(t, results.Purge(t.Context(), jetstream.WithPurgeSubject("results.tea.other")))
		time.Sleep(10 * time.Second)
		require.Len(t, outcomes(t, js), 1)
		require.Equal(t, streaming.Counts{Added: 1}, counts(t, js))
		require.NoError(t, p.stop())

		require.ErrorContains(t, fill("feed.tea.other"), "maximum bytes exceeded")
		require.ErrorContains(t, streaming.Send(t.Context(), js, "tea", streaming.Event[reading]{Key: "green"}), "maximum bytes exceeded")
	})
}

// A refused event keeps its headers and data, unless the copy would be too large to store.
func TestRefusedCopy(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		p := run(t, s.JetStream("processor"), list, short)
		publish := func(trace, data string) {
			header := nats.Header{"Trace": {trace}, streaming.HeaderReason: {"forged"}, nats.MsgIdHdr: {"id-" + data[:1]}}
			_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "feed.tea.green", Header: header, Data: []byte(data)})
			require.NoError(t, err)
		}
		publish("t-1", "{")
		publish("t-2", strings.Repeat("x", 1<<20-4500))
		publish(strings.Repeat("t", 65_000), "[")
		send(t, js, "green", "a", time.Time{})
		time.Sleep(5 * time.Second) // lint:bubble: in bubble
		refused := stored(t, js, "refused.tea.green")
		require.Len(t, refused, 3)
		for i, want := range []struct{ trace, data, truncated string }{{"t-1", "{", ""}, {"t-2", "", ""}, {"", "", "true"}} {
			h := refused[i].Header
			if i == 1 {
				require.Len(t, refused[i].Data, 1<<20-4500, "it just fits")
			} else {
				require.Equal(t, want.data, string(refused[i].Data))
			}
			require.Equal(t, want.trace, h.Get("Trace"))
			require.Equal(t, want.truncated, h.Get(streaming.HeaderTruncated))
			require.NotContains(t, h.Get(streaming.HeaderReason), "forged")
			require.NotEmpty(t, h.Get(streaming.HeaderReason))
			require.Equal(t, "feed.tea.green", h.Get(streaming.HeaderSubject))
			require.Empty(t, h.Get(nats.MsgIdHdr))
		}
		require.Equal(t, streaming.Counts{Added: 1, Refused: 3}, counts(t, js))
		require.NoError(t, p.stop())
	})
}
