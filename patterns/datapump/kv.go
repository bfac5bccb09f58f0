package datapump

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type bucket struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	stream jetstream.Stream
	schema Schema
}

// Bucket returns the store in a KV bucket, each row under the key TABLE.KEY, each
// Apply an atomic batch: [ProvisionBucket] allows them, and needs nats-server 2.12.
func Bucket(ctx context.Context, js jetstream.JetStream, kv jetstream.KeyValue, schema Schema) (Store, error) {
	if err := schema.check(); err != nil {
		return nil, err
	}
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, "KV_"+kv.Bucket()) })
	if err == nil {
		needed := s.CachedInfo().Config
		needed.AllowAtomicPublish = true
		_, err = strengthen(s.CachedInfo().Config, needed, nil)
	}
	return &bucket{js, kv, s, schema}, edge(err, "bucket "+kv.Bucket())
}

// ProvisionBucket allows atomic batches on a bucket that exists.
func ProvisionBucket(ctx context.Context, js jetstream.JetStream, kv jetstream.KeyValue) error {
	_, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		s, err := js.Stream(ctx, "KV_"+kv.Bucket())
		if err != nil {
			return nil, err
		}
		config := s.CachedInfo().Config
		config.AllowAtomicPublish = true
		return js.UpdateStream(ctx, config)
	})
	return edge(err, "provision bucket "+kv.Bucket())
}

func (b *bucket) Schema() Schema { return b.schema }
func (b *bucket) Limit() int     { return 999 } // the server's limit of a batch, less one for the sequence

// at returns where the pump is, and the revision of the key that says so.
func (b *bucket) at(ctx context.Context, pump string) (seq, revision uint64, err error) {
	entry, err := b.kv.Get(ctx, appliedKey(pump))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err == nil {
		seq, err = strconv.ParseUint(string(entry.Value()), 10, 64)
		revision = entry.Revision()
	}
	return seq, revision, err
}

func appliedKey(pump string) string { return "_applied." + pump } // no table begins with _

func (b *bucket) Applied(ctx context.Context, pump string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, lost)
	defer cancel()
	seq, _, err := b.at(ctx, pump)
	return seq, err
}

// lost is when an answer of the server is taken to be lost, in a cut.
const lost = 5 * time.Second

func (b *bucket) Apply(ctx context.Context, pump string, from, to uint64, rows []Row) error {
	ctx, cancel := context.WithTimeout(ctx, lost)
	defer cancel()
	seq, revision, err := b.at(ctx, pump)
	if err == nil && seq != from {
		err = ErrFenced
	}
	if err != nil {
		return err
	}
	applied := nats.NewMsg(b.subject(appliedKey(pump)))
	applied.Data = strconv.AppendUint(nil, to, 10)
	applied.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10)) // what was read may be stale; this decides
	msgs := []*nats.Msg{applied}
	for _, r := range rows {
		m := nats.NewMsg(b.subject(r.key()))
		names := make([]string, len(r.Values))
		for i := range names {
			names[i] = r.Table.Columns[i].Name
		}
		if m.Data, err = object(names, r.Values); err == nil {
			err = fits(b.js.Conn(), len(m.Data))
		}
		if err == nil && len(m.Subject) > 512 {
			err = fmt.Errorf("its key takes %d bytes, and 512 are possible", len(m.Subject))
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRow, err)
		}
		msgs = append(msgs, m)
	}
	return b.publish(ctx, msgs)
}

func (b *bucket) subject(key string) string { return "$KV." + b.kv.Bucket() + "." + key }

// publish stores all messages or none.
func (b *bucket) publish(ctx context.Context, msgs []*nats.Msg) error {
	nc, last := b.js.Conn(), len(msgs)-1
	if last > 0 {
		batch := cryptorand.Text()
		for i, m := range msgs {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		msgs[last].Header.Set("Nats-Batch-Commit", "1")
		if err := request(ctx, nc, msgs[0]); err != nil { // lets the server refuse before it is sent the rest
			return err
		}
		for _, m := range msgs[1:last] {
			if err := nc.PublishMsg(m); err != nil {
				return err
			}
		}
	}
	return request(ctx, nc, msgs[last])
}

func request(ctx context.Context, nc *nats.Conn, m *nats.Msg) error {
	var ack struct {
		Error *jetstream.APIError `json:"error"`
	}
	reply, err := nc.RequestMsgWithContext(ctx, m)
	if err == nil && len(reply.Data) > 0 { // all but the last message of a batch are acknowledged by nothing
		err = json.Unmarshal(reply.Data, &ack)
	}
	if err == nil && ack.Error != nil {
		if err = ack.Error; isConflict(err) {
			err = ErrFenced
		}
	}
	return err
}

// isConflict tells a refused condition. A cluster has two codes for it.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}
