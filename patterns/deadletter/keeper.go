package deadletter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const look = 2 * time.Second // how often a Keeper looks for what it was not told of

// Keeper makes dead letters of what the consumers of a stream give up by themselves,
// be it at their MaxDeliver or by a Term: for those that cannot be guarded.
type Keeper struct {
	ch     *Channel
	stream string
	cons   jetstream.Consumer
	ran    atomic.Bool
	calm   map[string]uint64 // how far a consumer had come when it was last seen with nothing in hand
}

// Advisories returns the stream ADVISORIES_<stream>, which holds what the server
// tells, once, of messages given up, until a Keeper has seen to it; and its consumer.
func Advisories(stream string, cfg Config) (advisories jetstream.StreamConfig, keeper jetstream.ConsumerConfig, err error) {
	if cfg, err = cfg.normal(); err == nil {
		err = checkID(stream)
	}
	const event = "$JS.EVENT.ADVISORY.CONSUMER."
	advisories = jetstream.StreamConfig{
		Name: "ADVISORIES_" + stream, Subjects: []string{event + "MAX_DELIVERIES." + stream + ".*", event + "MSG_TERMINATED." + stream + ".*"},
		Retention: jetstream.WorkQueuePolicy, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	keeper = jetstream.ConsumerConfig{Durable: "keeper", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1,
		Metadata: maps.Clone(cfg.Metadata)}
	return advisories, keeper, err
}

// NewKeeper finds or creates the channel and the stream of advisories. From then on
// what is given up is known, whether or not a Keeper runs.
func NewKeeper(ctx context.Context, js jetstream.JetStream, name, stream string, cfg Config) (*Keeper, error) {
	want, keeper, err := Advisories(stream, cfg)
	if err != nil {
		return nil, err
	}
	c, err := NewChannel(ctx, js, name, cfg)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("deadletter: keeper of %s: %w", stream, err)
	}
	cons, err := ensure(ctx, consumerOf(s, keeper.Durable), keeper, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("deadletter: keeper of %s: %w", stream, err)
	}
	return &Keeper{ch: c, stream: stream, cons: cons, calm: map[string]uint64{}}, nil
}

// Run keeps what is given up until ctx ends, or there is nothing left to learn it from.
func (k *Keeper) Run(ctx context.Context) error {
	if k.ran.Swap(true) {
		return ErrTwice
	}
	for ctx.Err() == nil {
		err := k.learn(ctx)
		if err == nil {
			err = k.reconcile(ctx)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		k.ch.cfg.Log.Warn("deadletter: the keeper will try again", "stream", k.stream, "err", err)
		_, gone := callAPI(ctx, k.cons.Info)
		if errors.Is(gone, jetstream.ErrConsumerNotFound) || errors.Is(gone, jetstream.ErrStreamNotFound) || k.ch.js.Conn().IsClosed() {
			return fmt.Errorf("deadletter: keeper of %s: %w", k.stream, errors.Join(err, gone))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// learn sees to what comes within a while.
func (k *Keeper) learn(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	batch, err := k.cons.Fetch(100, jetstream.FetchContext(wait))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		err := k.keep(ctx, msg)
		if err == nil {
			err = msg.Ack()
		} else {
			err = errors.Join(err, msg.NakWithDelay(look))
		}
		if err != nil {
			k.ch.cfg.Log.Warn("deadletter: an advisory will come again", "stream", k.stream, "err", err)
		}
	}
	if err = batch.Error(); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return nil
	}
	return err
}

// keep stores the letter that an advisory speaks of. The advisory has no message,
// only its sequence. After a Term the message may be gone, and so may be all of a
// stream, in which another now has that sequence.
func (k *Keeper) keep(ctx context.Context, msg jetstream.Msg) error {
	var a struct {
		Time       time.Time `json:"timestamp"`
		Consumer   string    `json:"consumer"`
		Seq        uint64    `json:"stream_seq"`
		Deliveries int       `json:"deliveries"`
		Reason     string    `json:"reason"`
	}
	if err := json.Unmarshal(msg.Data(), &a); err != nil || checkID(a.Consumer) != nil {
		k.ch.cfg.Log.Error("deadletter: no advisory of the server's", "subject", msg.Subject(), "err", err)
		return nil
	}
	l := Letter{Reason: Exhausted, Error: "not known: the consumer's MaxDeliver is reached", Tries: a.Deliveries, Msg: &nats.Msg{}}
	if strings.Contains(msg.Subject(), ".MSG_TERMINATED.") {
		l.Reason, l.Error = Terminated, a.Reason
	}
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return k.ch.js.Stream(ctx, k.stream) })
	var raw *jetstream.RawStreamMsg
	if err == nil {
		raw, err = callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, a.Seq) })
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && raw.Time.After(a.Time) {
		l.Gone = true
		subject := k.ch.subject(fmt.Sprintf("%s.%s.%d.", k.stream, a.Consumer, a.Seq))
		return k.ch.store(ctx, subject+"gone", subject+"*", l)
	}
	if err != nil {
		return err
	}
	return k.move(ctx, s, a.Consumer, raw, l)
}

// move stores a message as a letter, and only then takes it from a work queue, where
// it would stay for ever. From other streams it goes as others do.
func (k *Keeper) move(ctx context.Context, s jetstream.Stream, consumer string, raw *jetstream.RawStreamMsg, l Letter) error {
	subject := k.ch.subject(idOf(k.stream, consumer, raw.Sequence, raw.Time))
	l.Msg = &nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data}
	if err := k.ch.store(ctx, subject, subject, l); err != nil || s.CachedInfo().Config.Retention != jetstream.WorkQueuePolicy {
		return err
	}
	_, err := callAPI(ctx, func(ctx context.Context) (any, error) { return nil, s.DeleteMsg(ctx, raw.Sequence) })
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return err
}

// reconcile finds in a work queue what no advisory told of: what was delivered when
// a consumer had nothing in hand, and is still there at the next look.
func (k *Keeper) reconcile(ctx context.Context) error {
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return k.ch.js.Stream(ctx, k.stream) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // it may come again
	}
	if err != nil || s.CachedInfo().Config.Retention != jetstream.WorkQueuePolicy {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 5*look)
	defer cancel()
	list := s.ListConsumers(wait)
	calm := map[string]uint64{}
	for info := range list.Info() {
		if info.Config.MaxDeliver > 0 && info.NumAckPending == 0 {
			me := info.Name + info.Created.String()
			calm[me] = info.Delivered.Stream
			err = errors.Join(err, k.sweep(ctx, s, info, k.calm[me]))
		}
	}
	k.calm = calm
	return errors.Join(err, list.Err())
}

func (k *Keeper) sweep(ctx context.Context, s jetstream.Stream, info *jetstream.ConsumerInfo, to uint64) error {
	l := Letter{Reason: Exhausted, Error: "not known: found in the queue, past the consumer's MaxDeliver", Tries: info.Config.MaxDeliver}
	filters := info.Config.FilterSubjects
	if len(filters) == 0 {
		filters = []string{cmp.Or(info.Config.FilterSubject, ">")}
	}
	for _, filter := range filters {
		for raw, err := range between(ctx, s, filter, s.CachedInfo().State.FirstSeq, to) {
			if err == nil {
				err = k.move(ctx, s, info.Name, raw, l)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
