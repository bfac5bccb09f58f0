// Code generated from internal/shared by make stamp; DO NOT EDIT.

package eventstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// codeNoLeader is JSClusterNotAvailErr: the cluster has no meta leader yet.
const codeNoLeader jetstream.ErrorCode = 10008

// callAPI makes a management call. The reply can be lost while a cluster elects a
// leader, and nats.go would wait for it until ctx ends. So an attempt takes at
// most 2 s, and all attempts together at most 10 s.
func callAPI[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		v, err := call(attempt)
		done()
		if ctx.Err() != nil || apiCode(err) != codeNoLeader && !errors.Is(err, context.DeadlineExceeded) {
			return v, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// apiCode returns the JetStream error code in err, or 0.
func apiCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return 0
	}
	return api.ErrorCode
}

// isConflict reports whether the server refused a publish because the expected
// last sequence was wrong. Replicated streams use a code of their own.
func isConflict(err error) bool {
	code := apiCode(err)
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// isGone reports whether err means that the connection is closed, or that the
// stream, bucket or consumer does not exist: waiting does not help.
func isGone(err error) bool {
	for _, gone := range []error{nats.ErrConnectionClosed, jetstream.ErrConnectionClosed, jetstream.ErrStreamNotFound,
		jetstream.ErrBucketNotFound, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerDeleted} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// checkConsumer returns an error if cons cannot deliver any more. It returns nil if
// cause is temporary: a disconnect, or the election of a leader.
func checkConsumer(ctx context.Context, cons jetstream.Consumer, cause error) error {
	if isGone(cause) {
		return cause
	}
	if _, err := callAPI(ctx, cons.Info); isGone(err) {
		return err
	}
	return nil
}

// maxBatch is the server's limit of messages in an atomic batch.
const maxBatch = 1000

// publishBatch stores msgs in one stream, all or none, and returns the sequence of
// the last one. One message is published without a batch. The stream needs
// AllowAtomicPublish, and the server 2.12.
func publishBatch(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg) (uint64, error) {
	batch, last := rand.Text(), len(msgs)-1
	for i, m := range msgs {
		if last > 0 {
			m.Header.Set("Nats-Batch-Id", batch)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		if most := nc.MaxPayload(); most > 0 && int64(m.Size()) > most {
			return 0, fmt.Errorf("%s: %d bytes, max_payload is %d: %w", m.Subject, m.Size(), most, nats.ErrMaxPayload)
		}
	}
	if last > 0 {
		msgs[last].Header.Set("Nats-Batch-Commit", "1")
		if _, err := requestAck(ctx, nc, msgs[0]); err != nil { // the server can refuse before it receives the rest
			return 0, err
		}
		for _, m := range msgs[1:last] {
			if err := nc.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("%s: %w", m.Subject, err)
			}
		}
	}
	seq, err := requestAck(ctx, nc, msgs[last])
	if err == nil && seq == 0 {
		err = fmt.Errorf("%s: the reply is not from JetStream; no service may subscribe to this subject", msgs[last].Subject)
	}
	return seq, err
}

// requestAck publishes m and returns the sequence of its ack; 0 for a message of a
// batch before its last one.
func requestAck(ctx context.Context, nc *nats.Conn, m *nats.Msg) (uint64, error) {
	var ack struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	reply, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	if len(reply.Data) == 0 {
		return 0, nil
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, err
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Seq, nil
}

// checkID refuses an ID that cannot be one token of a subject.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrID, id)
	}
	return nil
}

// setDefault sets a Config field that is zero, and refuses a value below least.
func setDefault[T ~int | ~int64](field string, v *T, value, least T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	return nil
}

// resource is a stream, consumer or bucket T with the settings C.
type resource[T, C any] struct {
	name            string
	missing, exists error
	find            func(context.Context) (T, error)
	create, update  func(context.Context, C) (T, error)
	settings        func(T) C
}

func streamOf(js jetstream.JetStream, name string) resource[jetstream.Stream, jetstream.StreamConfig] {
	return resource[jetstream.Stream, jetstream.StreamConfig]{
		"stream " + name, jetstream.ErrStreamNotFound, jetstream.ErrStreamNameAlreadyInUse,
		func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, name) }, js.CreateStream, js.UpdateStream,
		func(s jetstream.Stream) jetstream.StreamConfig { return s.CachedInfo().Config },
	}
}

func consumerOf(s jetstream.Stream, name string) resource[jetstream.Consumer, jetstream.ConsumerConfig] {
	return resource[jetstream.Consumer, jetstream.ConsumerConfig]{
		"consumer " + name, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerExists,
		func(ctx context.Context) (jetstream.Consumer, error) { return s.Consumer(ctx, name) }, s.CreateConsumer, s.UpdateConsumer,
		func(c jetstream.Consumer) jetstream.ConsumerConfig { return c.CachedInfo().Config },
	}
}

// ensure finds r, or creates it as want unless bind is set. It refuses what exists
// with a weaker setting, or with another value in a field that exact names.
func ensure[T, C any](ctx context.Context, r resource[T, C], want C, bind bool, exact ...string) (T, error) {
	v, err := callAPI(ctx, r.find)
	if errors.Is(err, r.missing) && !bind {
		v, err = callAPI(ctx, func(ctx context.Context) (T, error) { return r.create(ctx, want) })
		if errors.Is(err, r.exists) { // another process was faster
			v, err = callAPI(ctx, r.find)
		}
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", r.name, err)
	}
	if _, err = strengthen(r.settings(v), want, exact); err != nil {
		return v, fmt.Errorf("%w: %s has %w", ErrMismatch, r.name, err)
	}
	return v, nil
}

// provision is ensure, but it changes what ensure would refuse, and nothing else.
func provision[T, C any](ctx context.Context, r resource[T, C], want C, exact ...string) (T, error) {
	v, err := ensure(ctx, r, want, false, exact...)
	if !errors.Is(err, ErrMismatch) {
		return v, err
	}
	needed, _ := strengthen(r.settings(v), want, exact)
	v, err = callAPI(ctx, func(ctx context.Context) (T, error) { return r.update(ctx, needed) })
	if err != nil {
		return v, fmt.Errorf("%s: %w", r.name, err)
	}
	return v, nil
}

// strengthen returns have with each setting replaced that is weaker than want, or
// that exact names, and an error about the first of them. Weaker means: messages are
// lost, dropped unread, stored twice, not stored, reordered or redelivered early. An
// existing consumer keeps its start: OptStartSeq and OptStartTime are not compared.
func strengthen[C any](have, want C, exact []string) (C, error) {
	var first error
	hs, ws := reflect.ValueOf(&have).Elem(), reflect.ValueOf(want)
	for i := range hs.NumField() {
		name, h, w := hs.Type().Field(i).Name, hs.Field(i), ws.Field(i)
		weaker := slices.Contains(exact, name)
		switch name {
		case "Subjects", "Retention", "SubjectTransform", "NoAck", "Sealed", "PersistMode", "DeliverPolicy", "AckPolicy",
			"FilterSubject", "FilterSubjects", "ReplayPolicy", "HeadersOnly", "BackOff", "MemoryStorage", "PriorityPolicy", "PriorityGroups", "PinnedTTL":
			weaker = true
		case "AllowMsgTTL", "AllowMsgSchedules", "AllowAtomicPublish", "AllowDirect", "AllowRollup", "DenyDelete", "DenyPurge", "DiscardNewPerSubject":
			weaker = weaker || w.Bool()
		case "Discard", "Replicas", "Duplicates", "SubjectDeleteMarkerTTL", "LimitMarkerTTL", "AckWait":
			weaker = weaker || h.Int() < w.Int()
		case "History":
			weaker = weaker || h.Uint() < w.Uint()
		case "Storage": // file is less than memory
			weaker = weaker || h.Int() > w.Int()
		case "MaxAckPending": // -1 is unlimited
			weaker = weaker || h.Int() > 0 && h.Int() < w.Int()
		case "MaxAge", "TTL", "MaxDeliver", "InactiveThreshold":
			weaker = weaker || tighter(h, w)
		case "MaxMsgs", "MaxBytes": // with discard new they drop nothing
			weaker = weaker || tighter(h, w) && hs.FieldByName("Discard").Int()+ws.FieldByName("Discard").Int() == 0
		case "MaxMsgsPerSubject":
			weaker = weaker || w.Int() > 0 || tighter(h, w) && !hs.FieldByName("DiscardNewPerSubject").Bool()
		}
		if weaker && !reflect.DeepEqual(h.Interface(), w.Interface()) {
			first = cmp.Or(first, fmt.Errorf("%s %v, want %v", name, h, w))
			h.Set(w)
		}
	}
	return have, first
}

// tighter reports whether limit h is below limit w; 0 and -1 are unlimited.
func tighter(h, w reflect.Value) bool {
	return h.Int() > 0 && (w.Int() <= 0 || h.Int() < w.Int())
}

// lastMessage returns the last message of a subject, or nil. It reads from the leader
// of the stream. jetstream.Stream reads from any replica, which can miss messages, if
// the stream has AllowDirect.
func lastMessage(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	body := fmt.Appendf(nil, `{"last_by_subj":%q}`, subject)
	reply, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "STREAM.MSG.GET."+stream), body)
	if err != nil {
		return nil, err
	}
	var resp struct {
		Error   *jetstream.APIError
		Message struct {
			jetstream.RawStreamMsg
			Seq  uint64
			Hdrs []byte
		}
	}
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, nil
	}
	if resp.Error != nil {
		return nil, resp.Error
	}
	m := resp.Message.RawStreamMsg
	m.Sequence = resp.Message.Seq
	if len(resp.Message.Hdrs) > 0 {
		m.Header, err = nats.DecodeHeadersMsg(resp.Message.Hdrs)
	}
	return &m, err
}

// apiSubject returns the subject of a JetStream API call, in the domain of js.
func apiSubject(js jetstream.JetStream, call string) string {
	o := js.Options()
	if o.APIPrefix != "" {
		return o.APIPrefix + "." + call
	}
	if o.Domain != "" {
		return "$JS." + o.Domain + ".API." + call
	}
	return "$JS.API." + call
}

// Message is a message as a [Handler] receives it. The handler may change it.
type Message struct {
	ID       string // the last token of the subject
	Subject  string
	Header   nats.Header
	Data     []byte
	Delivery int       // delivery attempt: 1 for the first
	Sequence uint64    // in the stream; 0 without a stream
	Time     time.Time // when it was stored; zero without a stream
}

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("eventstore: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// withGrace returns a context for handlers: it ends grace after ctx, or with stop.
func withGrace(ctx context.Context, grace time.Duration) (work context.Context, stop func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return work, func() { unhook(); cancel() }
}

// redeliveryDelay returns how long a message waits after a failed delivery attempt:
// first, doubled after each further attempt, up to one minute.
func redeliveryDelay(first time.Duration, delivery int) time.Duration {
	delay := first
	for ; delivery > 1 && delay < time.Minute; delivery-- {
		delay = min(2*delay, time.Minute)
	}
	return delay
}

// warnIf logs that an ack, nak or term failed, unless the message was acked before.
func warnIf(log *slog.Logger, action string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		log.Warn("eventstore: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
	}
}

// keepInProgress sends in-progress for the messages that inFlight returns, three times
// per AckWait, so that the server does not redeliver them. The caller calls stop.
func keepInProgress(ackWait time.Duration, log *slog.Logger, inFlight func() []jetstream.Msg) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(ackWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				for _, msg := range inFlight() {
					warnIf(log, "send in-progress", msg, msg.InProgress())
				}
			}
		}
	}()
	return func() { close(done); <-stopped }
}
