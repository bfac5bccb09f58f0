package wire_test

import (
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/link"
	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/internal/wire"
)

// Acks are described the same with the ack subject of today and with the longer one,
// which servers use from 2.16 on.
func TestAckSubjects(t *testing.T) {
	for name, flags := range map[string]map[string]bool{"today": nil, "js_ack_fc_v2": {natsserver.FeatureFlagJsAckFormatV2: true}} {
		t.Run(name, func(t *testing.T) {
			srv, err := server.New(natsserver.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), FeatureFlags: flags})
			require.NoError(t, err)
			defer srv.Stop()
			rec := &wire.Recorder{}
			nc, err := nats.Connect("", nats.InProcessServer(link.New("worker", srv, rec)))
			require.NoError(t, err)
			defer nc.Close()
			js, err := jetstream.New(nc)
			require.NoError(t, err)
			s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.*"}})
			require.NoError(t, err)
			c, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy})
			require.NoError(t, err)
			_, err = js.Publish(t.Context(), "jobs.7", []byte("do"))
			require.NoError(t, err)
			msg, err := c.Next(jetstream.FetchMaxWait(5 * time.Second))
			require.NoError(t, err)
			require.NoError(t, msg.Nak())
			msg, err = c.Next(jetstream.FetchMaxWait(5 * time.Second))
			require.NoError(t, err)
			require.NoError(t, msg.DoubleAck(t.Context()))
			var texts []string
			d, long := wire.NewDescriber(), false
			for _, e := range rec.Events() {
				if a, ok := d.Describe(e); ok {
					texts = append(texts, a.Text)
				}
				long = long || strings.HasPrefix(e.Reply, "$JS.ACK.") && strings.Count(e.Reply, ".") >= 10
			}
			require.Equal(t, flags != nil, long, "the server uses the subject that is meant")
			for _, text := range []string{"JOBS 1: jobs.7 do", "nak JOBS 1", "JOBS 1: jobs.7 do (delivery 2)", "ack JOBS 1"} {
				require.Contains(t, texts, text)
			}
		})
	}
}
