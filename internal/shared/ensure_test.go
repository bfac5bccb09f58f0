package shared

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func jobs() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.*"}, MaxAge: time.Hour, Duplicates: time.Minute, Replicas: 1, Discard: jetstream.DiscardNew, AllowDirect: true}
}

// A stream that is stronger than asked is used as it is; a weaker one is refused by
// ensure, and changed by provision.
func TestStrengthenStream(t *testing.T) {
	for _, test := range []struct {
		name   string
		have   func(*jetstream.StreamConfig)
		weaker string // the field; empty: accepted
	}{
		{"as asked", func(*jetstream.StreamConfig) {}, ""},
		{"more subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"jobs.*", "more.*"} }, "Subjects [jobs.* more.*], want [jobs.*]"},
		{"another retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "Retention"},
		{"more replicas", func(c *jetstream.StreamConfig) { c.Replicas = 3 }, ""},
		{"fewer replicas", func(c *jetstream.StreamConfig) { c.Replicas = 0 }, "Replicas 0, want 1"},
		{"memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "Storage"},
		{"a longer MaxAge", func(c *jetstream.StreamConfig) { c.MaxAge = 2 * time.Hour }, ""},
		{"an unlimited MaxAge", func(c *jetstream.StreamConfig) { c.MaxAge = 0 }, ""},
		{"a shorter MaxAge", func(c *jetstream.StreamConfig) { c.MaxAge = time.Minute }, "MaxAge 1m0s, want 1h0m0s"},
		{"a longer duplicate window", func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }, ""},
		{"a shorter duplicate window", func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }, "Duplicates"},
		{"a limit with discard new", func(c *jetstream.StreamConfig) { c.MaxBytes, c.MaxMsgs = 1000, 10 }, ""},
		{"a limit with discard old", func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 10 }, "Discard"},
		{"a limit of messages for each subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "MaxMsgsPerSubject"},
		{"the same with discard new for each subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 1, true }, ""},
		{"no acks", func(c *jetstream.StreamConfig) { c.NoAck = true }, "NoAck"},
		{"sealed", func(c *jetstream.StreamConfig) { c.Sealed = true }, "Sealed"},
		{"a feature too few", func(c *jetstream.StreamConfig) { c.AllowDirect = false }, "AllowDirect"},
		{"a feature more", func(c *jetstream.StreamConfig) { c.AllowRollup = true }, ""},
		{"compression, placement and a description", func(c *jetstream.StreamConfig) {
			c.Compression, c.Description, c.Placement = jetstream.S2Compression, "of mine", &jetstream.Placement{Tags: []string{"ssd"}}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			have := jobs()
			test.have(&have)
			needed, weaker := strengthen(have, jobs(), nil)
			if test.weaker == "" {
				require.NoError(t, weaker)
				require.Equal(t, have, needed)
				return
			}
			require.ErrorContains(t, weaker, test.weaker)
			_, weaker = strengthen(needed, jobs(), nil)
			require.NoError(t, weaker)
		})
	}
}

func TestStrengthenLimits(t *testing.T) {
	latest := jetstream.StreamConfig{MaxMsgsPerSubject: 1}
	_, weaker := strengthen(jetstream.StreamConfig{MaxMsgsPerSubject: 2}, latest, nil)
	require.ErrorContains(t, weaker, "MaxMsgsPerSubject 2, want 1")
	bounded := jetstream.StreamConfig{MaxBytes: 100}
	_, weaker = strengthen(jetstream.StreamConfig{MaxBytes: 99}, bounded, nil)
	require.ErrorContains(t, weaker, "MaxBytes 99, want 100")
	_, weaker = strengthen(jetstream.StreamConfig{MaxBytes: 101}, bounded, nil)
	require.NoError(t, weaker)
	_, weaker = strengthen(jetstream.StreamConfig{MaxBytes: 101}, bounded, []string{"MaxBytes"})
	require.ErrorContains(t, weaker, "MaxBytes 101, want 100")
}

func TestStrengthenConsumer(t *testing.T) {
	want := jetstream.ConsumerConfig{Durable: "workers", AckWait: time.Minute, MaxDeliver: -1, MaxAckPending: 10, FilterSubject: "jobs.a"}
	for _, test := range []struct {
		name   string
		have   func(*jetstream.ConsumerConfig)
		weaker string
	}{
		{"as asked", func(*jetstream.ConsumerConfig) {}, ""},
		{"a longer AckWait", func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }, ""},
		{"a shorter AckWait", func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, "AckWait 1s, want 1m0s"},
		{"a MaxDeliver that drops", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }, "MaxDeliver 5, want -1"},
		{"more in flight", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 11 }, ""},
		{"unlimited in flight", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = -1 }, ""},
		{"less in flight", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 9 }, "MaxAckPending 9, want 10"},
		{"another filter", func(c *jetstream.ConsumerConfig) { c.FilterSubject = "jobs.b" }, "FilterSubject"},
		{"the same filter in the other field", func(c *jetstream.ConsumerConfig) {
			c.FilterSubject, c.FilterSubjects = "", []string{"jobs.a"}
		}, ""},
		{"more filters", func(c *jetstream.ConsumerConfig) {
			c.FilterSubject, c.FilterSubjects = "", []string{"jobs.a", "jobs.b"}
		}, "FilterSubject"},
		{"another start", func(c *jetstream.ConsumerConfig) { c.DeliverPolicy = jetstream.DeliverNewPolicy }, "DeliverPolicy"},
		{"no acks", func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy }, "AckPolicy"},
		{"a backoff", func(c *jetstream.ConsumerConfig) { c.BackOff = []time.Duration{time.Second} }, "BackOff"},
		{"deleted when unused", func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Minute }, "InactiveThreshold"},
		{"a rate limit", func(c *jetstream.ConsumerConfig) { c.RateLimit = 1000 }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			have := want
			test.have(&have)
			_, weaker := strengthen(have, want, nil)
			if test.weaker == "" {
				require.NoError(t, weaker)
			} else {
				require.ErrorContains(t, weaker, test.weaker)
			}
		})
	}
	several, reversed := want, want
	several.FilterSubject, several.FilterSubjects = "", []string{"jobs.a", "jobs.b"}
	reversed.FilterSubject, reversed.FilterSubjects = "", []string{"jobs.b", "jobs.a"}
	_, weaker := strengthen(reversed, several, nil)
	require.NoError(t, weaker, "the same filters in another order")
	changed, weaker := strengthen(want, several, nil)
	require.ErrorContains(t, weaker, "FilterSubject")
	require.Equal(t, several, changed)
	changed, _ = strengthen(several, want, nil)
	require.Equal(t, want, changed)
	ordered := want
	ordered.MaxAckPending = 1
	_, weaker = strengthen(want, ordered, []string{"MaxAckPending"})
	require.ErrorContains(t, weaker, "MaxAckPending 10, want 1")
}

func TestEnsureStream(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("app"), t.Context()
		_, err := ensure(ctx, streamOf(js, "JOBS"), jobs(), true)
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		require.ErrorContains(t, err, "stream JOBS: ")
		for range 2 {
			_, err = ensure(ctx, streamOf(js, "JOBS"), jobs(), false)
			require.NoError(t, err)
		}
		weak := jobs()
		weak.MaxAge, weak.MaxMsgs, weak.Metadata = time.Minute, 7, map[string]string{"of": "mine"}
		_, err = js.UpdateStream(ctx, weak)
		require.NoError(t, err)
		_, err = ensure(ctx, streamOf(js, "JOBS"), jobs(), false)
		require.ErrorIs(t, err, ErrMismatch)
		require.ErrorContains(t, err, "stream JOBS has MaxAge 1m0s, want 1h0m0s")

		changed, err := provision(ctx, streamOf(js, "JOBS"), jobs())
		require.NoError(t, err)
		config := changed.CachedInfo().Config
		require.Equal(t, time.Hour, config.MaxAge)
		require.EqualValues(t, 7, config.MaxMsgs, "a limit that an operator set stays")
		require.Equal(t, "mine", config.Metadata["of"])
		_, err = provision(ctx, streamOf(js, "JOBS"), jobs())
		require.NoError(t, err)

		memory := jobs()
		memory.Name, memory.Subjects, memory.Storage = "MEMORY", []string{"memory"}, jetstream.MemoryStorage
		_, err = js.CreateStream(ctx, memory)
		require.NoError(t, err)
		memory.Storage = jetstream.FileStorage
		_, err = provision(ctx, streamOf(js, "MEMORY"), memory)
		require.ErrorContains(t, err, "stream MEMORY: ", "the server cannot change this")
	})
}

func TestEnsureConsumer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("app"), t.Context()
		stream, err := ensure(ctx, streamOf(js, "JOBS"), jobs(), false)
		require.NoError(t, err)
		want := jetstream.ConsumerConfig{Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute, MaxDeliver: -1, MaxAckPending: 10}
		_, err = ensure(ctx, consumerOf(stream, "workers"), want, true)
		require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
		for range 2 {
			_, err = ensure(ctx, consumerOf(stream, "workers"), want, false)
			require.NoError(t, err)
		}
		want.AckWait = time.Hour
		_, err = ensure(ctx, consumerOf(stream, "workers"), want, false)
		require.ErrorIs(t, err, ErrMismatch)
		changed, err := provision(ctx, consumerOf(stream, "workers"), want)
		require.NoError(t, err)
		require.Equal(t, time.Hour, changed.CachedInfo().Config.AckWait)
	})
}

func TestEnsureBucket(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("app"), t.Context()
		want := jetstream.KeyValueConfig{Bucket: "leases", TTL: time.Hour, History: 2, LimitMarkerTTL: time.Second}
		_, err := ensure(ctx, bucketOf(js, "leases"), want, true)
		require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
		for range 2 {
			b, err := ensure(ctx, bucketOf(js, "leases"), want, false)
			require.NoError(t, err)
			_, err = b.PutString(ctx, "a", "1")
			require.NoError(t, err)
		}
		less := want
		less.TTL, less.History = time.Minute, 1
		_, err = js.UpdateKeyValue(ctx, less)
		require.NoError(t, err)
		_, err = ensure(ctx, bucketOf(js, "leases"), want, false)
		require.ErrorIs(t, err, ErrMismatch)
		b, err := provision(ctx, bucketOf(js, "leases"), want)
		require.NoError(t, err)
		require.Equal(t, time.Hour, b.config.TTL)
		require.EqualValues(t, 2, b.config.History)
		want.Bucket = "no.bucket"
		_, err = ensure(ctx, bucketOf(js, want.Bucket), want, false)
		require.ErrorIs(t, err, jetstream.ErrInvalidBucketName)
	})
}
