package encrypt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

// streams creates VISITS on visits.*, INVALID on invalid.> and a copy of VISITS.
func streams(t *testing.T, js jetstream.JetStream) {
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "VISITS", Subjects: []string{"visits.*"}, AllowDirect: true},
		{Name: "INVALID", Subjects: []string{"invalid.>"}},
		{Name: "COPY", Sources: []*jetstream.StreamSource{{Name: "VISITS"}}, Storage: jetstream.MemoryStorage},
	} {
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
}

// Redact erases the bytes in one stream; a copy in another stream stays.
func TestRedact(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		streams(t, js)
		for n := 1; n <= 3; n++ {
			must(js.Publish(ctx, "visits.ann", fmt.Appendf(nil, "Ann Lee%d", n)))
			for _, reader := range []string{"audit", "billing"} { // each stores an invalid message of its own, the second one twice
				must(js.Publish(ctx, fmt.Sprintf("invalid.visit.%s.%d.0", reader, n), fmt.Appendf(nil, "Ann Lee%d", n)))
			}
			must(js.Publish(ctx, fmt.Sprintf("invalid.visit.billing.%d.0", n), fmt.Appendf(nil, "Ann Lee%d", n)))
		}
		time.Sleep(15 * time.Second)
		require.Equal(t, 2, onDisk(t, s, []byte("Ann Lee2")))

		require.NoError(t, encrypt.Redact(ctx, js, "VISITS", 2))
		require.NoError(t, encrypt.Redact(ctx, js, "VISITS", 2), "a retry after an error")
		for _, none := range []uint64{0, 9} {
			require.ErrorIs(t, encrypt.Redact(ctx, js, "VISITS", none), encrypt.ErrNoMessage, "a wrong sequence is no success")
		}
		require.Equal(t, 1, onDisk(t, s, []byte("Ann Lee2")))
		require.NoError(t, encrypt.RedactSubject(ctx, js, "INVALID", "invalid.visit.*.2.*"))
		require.NoError(t, encrypt.RedactSubject(ctx, js, "INVALID", "invalid.visit.*.2.*"), "a retry after an error")
		require.Zero(t, onDisk(t, s, []byte("Ann Lee2")))
		require.Equal(t, 2, onDisk(t, s, []byte("Ann Lee3")))
		left := stored(t, js, "VISITS")
		require.Len(t, left, 2)
		require.Equal(t, []uint64{1, 3}, []uint64{left[0].Sequence, left[1].Sequence}, "the gap stays")
		require.Len(t, stored(t, js, "INVALID"), 6)
		require.Equal(t, "Ann Lee2", string(stored(t, js, "COPY")[1].Data), "a copy in another stream stays")

		// The mutant deletes: the message is not readable, but it is on the disk. Redact cannot erase it any more.
		require.NoError(t, must(js.Stream(ctx, "VISITS")).DeleteMsg(ctx, 1))
		require.NoError(t, encrypt.Redact(ctx, js, "VISITS", 1))
		require.Len(t, stored(t, js, "VISITS"), 1)
		require.Equal(t, 2, onDisk(t, s, []byte("Ann Lee1")))
	})
}

// A consumer that received the message before it was redacted can store a copy later.
func TestRedactInFlight(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		streams(t, js)
		must(js.Publish(ctx, "visits.ann", []byte("Ann Lee")))
		cons := must(js.CreateConsumer(ctx, "VISITS", jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy}))
		consuming := must(cons.Consume(func(m jetstream.Msg) {
			time.Sleep(2 * time.Second)
			must(js.Publish(ctx, "invalid.visit.audit.1.0", m.Data()))
			_ = m.Term()
		}))
		time.Sleep(time.Second)
		require.NoError(t, encrypt.Redact(ctx, js, "VISITS", 1))
		require.NoError(t, encrypt.RedactSubject(ctx, js, "INVALID", "invalid.visit.*.1.*"))
		time.Sleep(2 * time.Second)
		consuming.Stop()
		<-consuming.Closed()
		require.Len(t, stored(t, js, "INVALID"), 1)
		require.NoError(t, encrypt.RedactSubject(ctx, js, "INVALID", "invalid.visit.*.1.*"))
		require.Empty(t, stored(t, js, "INVALID"))
	})
}

// A stream that denies deletes returns an error: nothing was erased.
func TestRedactDenied(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "DENIED", Subjects: []string{"denied"}, DenyDelete: true}))
		must(js.Publish(ctx, "denied", []byte("Ann Lee")))
		require.ErrorIs(t, encrypt.Redact(ctx, js, "DENIED", 1), jetstream.ErrMsgDeleteUnsuccessful)
		require.ErrorIs(t, encrypt.RedactSubject(ctx, js, "DENIED", "denied"), jetstream.ErrMsgDeleteUnsuccessful)
		require.Len(t, stored(t, js, "DENIED"), 1)
	})
}
