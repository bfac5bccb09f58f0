package datatype_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
	"github.com/natspatterns/catalog/patterns/schema"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// A visit to a clinic in three versions. Version 2 adds a field; version 3 splits a
// field that readers of the older versions need.
type (
	VisitV1 struct {
		Patient string `json:"patient" jsonschema:"minLength=1"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
	}
	VisitV2 struct {
		Patient string `json:"patient" jsonschema:"minLength=1"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
		Room    string `json:"room,omitempty"`
	}
	VisitV3 struct {
		Patient string   `json:"patient" jsonschema:"minLength=1"`
		Given   string   `json:"given"`
		Family  string   `json:"family"`
		Minutes int      `json:"minutes"`
		Room    string   `json:"room,omitempty"`
		Urgency string   `json:"urgency" jsonschema:"enum=low,enum=high"`
		Drugs   []string `json:"drugs,omitempty"`
	}
)

func oneToTwo(v VisitV1) (VisitV2, error) {
	return VisitV2{v.Patient, v.Name, v.Minutes, "reception"}, nil
}

func twoToThree(v VisitV2) (VisitV3, error) {
	given, family, ok := strings.Cut(v.Name, " ")
	if !ok {
		return VisitV3{}, fmt.Errorf("%q has no family name", v.Name)
	}
	return VisitV3{Patient: v.Patient, Given: given, Family: family, Minutes: v.Minutes, Room: v.Room, Urgency: "low"}, nil
}

func visits(t testing.TB) (one *schema.Type[VisitV1], two *schema.Type[VisitV2], three *schema.Type[VisitV3]) {
	return must(schema.Define[VisitV1]("visit")), must(schema.Define[VisitV2]("visit", schema.Extend(oneToTwo))),
		must(schema.Define[VisitV3]("visit", schema.Extend(oneToTwo), schema.Replace(twoToThree)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

var memory = datatype.Config{Log: quiet, Storage: jetstream.MemoryStorage}

func open[T any](t testing.TB, js jetstream.JetStream, typ *schema.Type[T]) *datatype.Channel[T] {
	c, err := datatype.NewChannel(t.Context(), js, "visit", typ, memory)
	require.NoError(t, err)
	return c
}

func consumer(t testing.TB, js jetstream.JetStream, name string) jetstream.Consumer {
	cons, err := js.CreateOrUpdateConsumer(t.Context(), "DATATYPE_visit", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1, AckWait: 30 * time.Second})
	require.NoError(t, err)
	return cons
}

// read guards a new consumer called name with handle, until stop.
func read[T any](t testing.TB, js jetstream.JetStream, typ *schema.Type[T], name string, handle datatype.Handler[T]) (stop func()) {
	h, err := open(t, js, typ).Guard(t.Context(), consumer(t, js, name), handle)
	require.NoError(t, err)
	c, err := consumer(t, js, name).Consume(h, jetstream.PullMaxMessages(16))
	require.NoError(t, err)
	return func() { c.Stop(); <-c.Closed() }
}

// stored returns the messages of a stream, oldest first.
func stored(t testing.TB, js jetstream.JetStream, stream string) (msgs []*jetstream.RawStreamMsg) {
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(context.Background(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		require.NoError(t, err)
		msgs = append(msgs, m)
	}
	return msgs
}

// as returns a message with a format indicator and any payload.
func as(name string, version, since int, body string) *nats.Msg {
	return &nats.Msg{Subject: "datatype.visit.ann", Data: []byte(body), Header: nats.Header{"Content-Type": {"application/json"},
		schema.HeaderName: {name}, schema.HeaderVersion: {fmt.Sprint(version)}, schema.HeaderSince: {fmt.Sprint(since)}}}
}
