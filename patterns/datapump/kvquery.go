package datapump

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Query reads the rows as they are when it comes to them, each once; those written
// meanwhile may be among them.
func (b *bucket) Query(ctx context.Context, st Statement, args []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		prefix := b.subject(st.Table)
		for _, a := range args {
			prefix += "." + token(a)
		}
		filters := []string{prefix, prefix + ".>"}
		cons, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return b.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
				FilterSubjects: filters, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
				AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
			})
		})
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() {
			_ = b.stream.DeleteConsumer(context.WithoutCancel(ctx), cons.CachedInfo().Name)
		}() // or it expires
		seen, got := map[string]bool{}, uint64(0)
		for info := cons.CachedInfo(); err == nil; {
			left := info.NumPending
			if left == 0 { // or so it seems: a consumer's count lags behind what is written meanwhile
				var last uint64
				if last, err = b.last(ctx, filters); err != nil || last <= info.Delivered.Stream {
					break
				}
				left = 1
			}
			var batch jetstream.MessageBatch
			if batch, err = cons.Fetch(int(min(left, 500)), jetstream.FetchMaxWait(2*time.Second)); err != nil {
				break
			}
			before := got
			for m := range batch.Messages() {
				got++
				if !seen[m.Subject()] && m.Headers().Get("KV-Operation") == "" && !yield(m.Data(), nil) {
					return
				}
				seen[m.Subject()] = true
			}
			if err = errors.Join(batch.Error(), ctx.Err()); err == nil {
				info, err = callAPI(ctx, cons.Info)
			}
			if err == nil && (info.Delivered.Consumer != got || got == before && info.NumPending > 0) {
				err = errors.New("rows were lost on the way from the bucket")
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// last returns the sequence of the last message on any of the subjects.
func (b *bucket) last(ctx context.Context, subjects []string) (last uint64, err error) {
	for _, subject := range subjects {
		m, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return b.stream.GetLastMsgForSubject(ctx, subject)
		})
		switch {
		case err == nil:
			last = max(last, m.Sequence)
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return 0, err
		}
	}
	return last, nil
}
