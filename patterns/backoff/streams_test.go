package backoff_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// With BackOff and MaxDeliver 5, five bare naks take less than a millisecond, on the real
// clock: BackOff is for missing acks only. A nak with a delay takes its time.
func TestBareNak(t *testing.T) {
	five := func(t *testing.T, js jetstream.JetStream, backOff []time.Duration, end func(jetstream.Msg) error) (times []time.Time) {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain"}, Storage: jetstream.MemoryStorage})
		require.NoError(t, err)
		cons, err := js.CreateConsumer(t.Context(), "PLAIN", jetstream.ConsumerConfig{
			Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5, BackOff: backOff})
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), "plain", nil)
		require.NoError(t, err)
		fifth := make(chan struct{})
		c, err := cons.Consume(func(msg jetstream.Msg) {
			times = append(times, time.Now())
			_ = end(msg)
			if len(times) == 5 {
				close(fifth)
			}
		})
		require.NoError(t, err)
		<-fifth
		c.Stop()
		<-c.Closed()
		return times
	}
	backOff := []time.Duration{time.Minute, time.Hour}
	t.Run("five bare naks take no time", func(t *testing.T) {
		best := time.Hour
		for range 10 { // the machine may be busy
			s := natstest.Start(t)
			times := five(t, s.JetStream("plain"), backOff, jetstream.Msg.Nak)
			if best = min(best, times[4].Sub(times[0])); best < time.Millisecond {
				break
			}
		}
		t.Logf("five deliveries in %v", best)
		require.Less(t, best, time.Millisecond)
	})
	for name, tc := range map[string]struct {
		backOff []time.Duration
		took    time.Duration
	}{
		"five naks with a delay take their time": {nil, 15 * time.Second},
		"BackOff makes the delays longer":        {backOff, 15*time.Second + 3*(time.Hour-time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				n := 0
				times := five(t, s.JetStream("plain"), tc.backOff, func(msg jetstream.Msg) error { n++; return msg.NakWithDelay(steady.Delay(n)) })
				require.Equal(t, tc.took, times[4].Sub(times[0]).Round(10*time.Millisecond))
			})
		})
	}
}

// What exists and is as strong as Config, or stronger, is used as it is. What is weaker is
// refused, and Provision changes only that.
func TestStreams(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	_, err := backoff.NewWorker(ctx, js, "bank", backoff.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	for name, tc := range map[string]struct {
		stream   func(*jetstream.StreamConfig)
		consumer func(*jetstream.ConsumerConfig)
		refused  string // field; empty if accepted
		fixed    bool   // by Provision
	}{
		"the same":                    {nil, nil, "", true},
		"other metadata":              {func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"owner": "shop"} }, nil, "", true},
		"a longer duplicates window":  {func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }, nil, "", true},
		"compression":                 {func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }, nil, "", true},
		"direct get":                  {func(c *jetstream.StreamConfig) { c.AllowDirect = true }, nil, "", true},
		"a longer AckWait":            {nil, func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }, "", true},
		"a larger MaxAckPending":      {nil, func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 5000 }, "", true},
		"an unlimited MaxAckPending":  {nil, func(c *jetstream.ConsumerConfig) { c.MaxAckPending = -1 }, "", true},
		"a shorter duplicates window": {func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }, nil, "Duplicates", true},
		"MaxAge":                      {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, nil, "MaxAge", true},
		"MaxBytes":                    {func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, nil, "MaxBytes", true},
		"MaxMsgs":                     {func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, nil, "MaxMsgs", true},
		"several messages a subject":  {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, nil, "MaxMsgsPerSubject", true},
		"memory":                      {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, nil, "Storage", false},
		"other subjects":              {func(c *jetstream.StreamConfig) { c.Subjects = []string{"backoff.bank.do.*"} }, nil, "Subjects", true},
		"a shorter AckWait":           {nil, func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, "AckWait", true},
		"MaxDeliver":                  {nil, func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }, "MaxDeliver", true},
		"BackOff":                     {nil, func(c *jetstream.ConsumerConfig) { c.BackOff = []time.Duration{20 * time.Second, time.Minute} }, "BackOff", true},
		"a smaller MaxAckPending":     {nil, func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 10 }, "MaxAckPending", true},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := backoff.StreamConfig("bank", backoff.Config{})
			require.NoError(t, err)
			consumer, err := backoff.ConsumerConfig("bank", backoff.Config{})
			require.NoError(t, err)
			if tc.stream != nil {
				tc.stream(&stream)
			}
			if tc.consumer != nil {
				tc.consumer(&consumer)
			}
			st, err := js.CreateStream(ctx, stream)
			require.NoError(t, err)
			defer func() { require.NoError(t, js.DeleteStream(ctx, "BACKOFF_bank")) }()
			cons, err := st.CreateConsumer(ctx, consumer)
			require.NoError(t, err)
			_, err = backoff.NewSender(ctx, js, "bank", backoff.Config{})
			_, err2 := backoff.NewWorker(ctx, js, "bank", backoff.Config{Bind: true})
			if tc.refused == "" {
				require.NoError(t, err)
				require.NoError(t, err2)
			} else {
				require.ErrorIs(t, err, backoff.ErrMismatch)
				require.ErrorContains(t, err2, tc.refused+" ")
			}
			err = backoff.Provision(ctx, js, "bank", backoff.Config{})
			if !tc.fixed {
				require.ErrorContains(t, err, "backoff: provision bank: stream BACKOFF_bank: ")
				return
			}
			require.NoError(t, err)
			_, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{Bind: true})
			require.NoError(t, err)
			if tc.refused == "" { // it is as it was
				st, err = js.Stream(ctx, "BACKOFF_bank")
				require.NoError(t, err)
				require.Equal(t, stream.Duplicates, st.CachedInfo().Config.Duplicates)
				require.Equal(t, stream.Compression, st.CachedInfo().Config.Compression)
				now, err := st.Consumer(ctx, "workers")
				require.NoError(t, err)
				require.Equal(t, cons.CachedInfo().Config, now.CachedInfo().Config)
			}
		})
	}
}

// The settings of Config are those of what is created.
func TestCreated(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	cfg := backoff.Config{Timeout: time.Minute, Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "shop"},
		MaxBytes: 1 << 20, MaxAckPending: 7}
	_, err := backoff.NewSender(ctx, js, "bank", cfg)
	require.NoError(t, err)
	have, _ := stream(t, js)
	require.Equal(t, "shop", have.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, have.CachedInfo().Config.Storage)
	require.EqualValues(t, 1<<20, have.CachedInfo().Config.MaxBytes)
	cons, err := have.Consumer(ctx, "workers")
	require.NoError(t, err)
	require.Equal(t, 7, cons.CachedInfo().Config.MaxAckPending)
	require.Equal(t, 2*time.Minute, cons.CachedInfo().Config.AckWait)
}
