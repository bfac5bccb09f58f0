package schema_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/schema"
)

var sample = VisitV3{Patient: "p-1", Given: "Ann", Family: "Lee", Minutes: 20, Room: "7", Urgency: "low", Drugs: []string{"aspirin", "rest"}}

const messages = 1000

// Publish and read messages of a stream, beside plain code that does the same:
// marshals or unmarshals, validates, sends the same four headers, acks.
func BenchmarkPublish(b *testing.B) {
	js, _, three, s := clinic(b)
	plain := func(b *testing.B) time.Duration {
		start := time.Now()
		for range messages {
			data, err := json.Marshal(sample)
			require.NoError(b, err)
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			require.NoError(b, err)
			require.NoError(b, s.Validate(doc))
			h := nats.Header{"Content-Type": {"application/json"}, "Schema-Name": {"visit"}, "Schema-Version": {"3"}, "Schema-Since": {"3"}}
			_, err = js.PublishMsg(b.Context(), &nats.Msg{Subject: "visits.ann", Header: h, Data: data})
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration {
		start := time.Now()
		for range messages {
			h, data, err := three.Encode(sample)
			require.NoError(b, err)
			_, err = js.PublishMsg(b.Context(), &nats.Msg{Subject: "visits.ann", Header: h, Data: data})
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ratio.Bar{Pattern: "schema", Metric: "publish, beside plain code that does the same", AtLeast: 0.85, Pairs: 31}.Compare(b, plain, ours)
}

func BenchmarkRead(b *testing.B) {
	js, stream, three, s := clinic(b)
	for range messages {
		h, data, err := three.Encode(sample)
		require.NoError(b, err)
		_, err = js.PublishMsg(b.Context(), &nats.Msg{Subject: "visits.ann", Header: h, Data: data})
		require.NoError(b, err)
	}
	run := func(decode func(jetstream.Msg) (VisitV3, error)) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration {
			cons, err := stream.CreateConsumer(b.Context(), jetstream.ConsumerConfig{Name: "bench", AckPolicy: jetstream.AckExplicitPolicy})
			require.NoError(b, err)
			n, all := 0, make(chan struct{})
			start := time.Now()
			consuming, err := cons.Consume(func(m jetstream.Msg) {
				if v, err := decode(m); err == nil && v.Minutes == 20 {
					_ = m.Ack()
				}
				if n++; n == messages {
					close(all)
				}
			})
			require.NoError(b, err)
			<-all
			took := time.Since(start)
			consuming.Stop()
			<-consuming.Closed()
			require.NoError(b, stream.DeleteConsumer(b.Context(), "bench"))
			return took
		}
	}
	plain := run(func(m jetstream.Msg) (v VisitV3, err error) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Data()))
		if err != nil {
			return v, err
		}
		if err := s.Validate(doc); err != nil {
			return v, err
		}
		err = json.Unmarshal(m.Data(), &v)
		return v, err
	})
	ours := run(func(m jetstream.Msg) (VisitV3, error) { return three.Decode(m.Headers(), m.Data()) })
	ratio.Bar{Pattern: "schema", Metric: "read, beside plain code that validates too", AtLeast: 0.90, Pairs: 31}.Compare(b, plain, ours)
}

func clinic(b *testing.B) (jetstream.JetStream, jetstream.Stream, *schema.Type[VisitV3], *jsonschema.Schema) {
	js := natstest.Start(b).JetStream("clinic")
	stream, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "VISITS", Subjects: []string{"visits.*"}, Storage: jetstream.MemoryStorage})
	require.NoError(b, err)
	_, _, three := visits(b)
	s, err := jsonschema.NewCompiler().Compile("testdata/visit.v3.json")
	require.NoError(b, err)
	return js, stream, three, s
}

// Decode, beside json.Unmarshal without validation: what validation costs.
func BenchmarkDecode(b *testing.B) {
	_, _, three := visits(b)
	h, data, err := three.Encode(sample)
	require.NoError(b, err)
	m := &nats.Msg{Header: h, Data: data}
	plain := func(b *testing.B) time.Duration {
		start := time.Now()
		for range messages {
			var v VisitV3
			require.NoError(b, json.Unmarshal(m.Data, &v))
		}
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration {
		start := time.Now()
		for range messages {
			_, err := three.Decode(m.Header, m.Data)
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ratio.Bar{Pattern: "schema", Metric: "decode, beside json.Unmarshal without validation", AtMost: 6, Or: messages * 20 * time.Microsecond, Pairs: 31}.Compare(b, plain, ours)
}
