package datatype_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/datatype"
)

var sample = VisitV3{Patient: "p-1", Given: "Ann", Family: "Lee", Minutes: 20, Room: "7", Urgency: "low", Drugs: []string{"aspirin", "rest"}}

const events = 1000

func clinic(b *testing.B) (jetstream.JetStream, *datatype.Channel[VisitV3]) {
	js := natstest.Start(b).JetStream("clinic")
	_, _, three := visits(b)
	return js, open(b, js, three)
}

// Publish, beside plain code that does the same: marshals, validates, publishes with the
// same four headers.
func BenchmarkPublish(b *testing.B) {
	js, c := clinic(b)
	s := validator(b)
	plain := func(b *testing.B) time.Duration {
		start := time.Now()
		for range events {
			data, err := json.Marshal(sample)
			var doc any
			if err == nil {
				doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
			}
			if err == nil {
				err = s.Validate(doc)
			}
			if err == nil {
				h := nats.Header{"Content-Type": {"application/json"}, "Schema-Name": {"visit"}, "Schema-Version": {"3"}, "Schema-Since": {"3"}}
				_, err = js.PublishMsg(b.Context(), &nats.Msg{Subject: "datatype.visit.ann", Header: h, Data: data})
			}
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration {
		start := time.Now()
		for range events {
			_, err := c.Publish(b.Context(), "ann", sample)
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ratio.Bar{Pattern: "datatype", Metric: "publish, beside plain code that does the same", AtLeast: 0.85, Pairs: 31}.Compare(b, plain, ours)
}

// validator is the schema of version 3 as plain code uses it.
func validator(b *testing.B) *jsonschema.Schema {
	s, err := jsonschema.NewCompiler().Compile("../schema/testdata/visit.v3.json")
	require.NoError(b, err)
	return s
}

// Guard, beside plain code that does the same: validates, unmarshals, acks.
func BenchmarkRead(b *testing.B) {
	js, c := clinic(b)
	for range events {
		_, err := c.Publish(b.Context(), "ann", sample)
		require.NoError(b, err)
	}
	s := validator(b)
	run := func(guard func(cons jetstream.Consumer, done func()) jetstream.MessageHandler) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration {
			cons, err := js.CreateConsumer(b.Context(), "DATATYPE_visit", jetstream.ConsumerConfig{Name: "bench", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1})
			require.NoError(b, err)
			n, all := 0, make(chan struct{})
			h := guard(cons, func() {
				if n++; n == events {
					close(all)
				}
			})
			start := time.Now()
			consuming, err := cons.Consume(h)
			require.NoError(b, err)
			<-all
			took := time.Since(start)
			consuming.Stop()
			<-consuming.Closed()
			require.NoError(b, js.DeleteConsumer(b.Context(), "DATATYPE_visit", "bench"))
			return took
		}
	}
	plain := run(func(_ jetstream.Consumer, done func()) jetstream.MessageHandler {
		return func(m jetstream.Msg) {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Data()))
			if err == nil {
				err = s.Validate(doc)
			}
			var v VisitV3
			if err == nil {
				err = json.Unmarshal(m.Data(), &v)
			}
			if err == nil && v.Minutes == 20 {
				_ = m.Ack()
			}
			done()
		}
	})
	ours := run(func(cons jetstream.Consumer, done func()) jetstream.MessageHandler {
		return must(c.Guard(b.Context(), cons, func(context.Context, datatype.Message[VisitV3]) error { done(); return nil }))
	})
	ratio.Bar{Pattern: "datatype", Metric: "read, beside plain code that validates too", AtLeast: 0.90, Pairs: 31}.Compare(b, plain, ours)
}
