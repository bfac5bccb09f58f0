// Code generated from internal/shared by make stamp; DO NOT EDIT.

package queueing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
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

// isTooLarge reports whether the client or the stream refused a message because of its
// size, or that of its headers.
func isTooLarge(err error) bool {
	const headerTooLarge jetstream.ErrorCode = 10097 // JSStreamHeaderExceedsMaximumErr
	code := apiCode(err)
	return errors.Is(err, nats.ErrMaxPayload) || code == headerTooLarge || code == jetstream.JSErrCodeStreamMessageExceedsMaximum
}

// isGone reports whether err means that the connection is closed, or that the
// stream, bucket or consumer does not exist: waiting does not help.
func isGone(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConnectionClosed) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted)
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

// setDefault sets a Config field that is zero, and refuses a value below least or above
// most.
func setDefault[T ~int | ~int64](field string, v *T, value, least T, most ...T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	if len(most) > 0 && *v > most[0] {
		return fmt.Errorf("%w: %s is %v; use at most %v", ErrConfig, field, *v, most[0])
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
// lost, dropped unread, stored twice, not stored, reordered or redelivered early. A
// consumer keeps its first start: only a start with all messages is compared.
func strengthen[C any](have, want C, exact []string) (C, error) {
	var first error
	hs, ws := reflect.ValueOf(&have).Elem(), reflect.ValueOf(want)
	for i := range hs.NumField() {
		name, h, w := hs.Type().Field(i).Name, hs.Field(i), ws.Field(i)
		weaker := slices.Contains(exact, name)
		switch name {
		case "Subjects", "Retention", "SubjectTransform", "NoAck", "Sealed", "PersistMode", "AckPolicy", "ReplayPolicy",
			"HeadersOnly", "BackOff", "MemoryStorage", "PriorityPolicy", "PriorityGroups", "PinnedTTL":
			weaker = true
		case "DeliverPolicy": // another start can skip messages that want includes
			weaker = weaker || w.Int() == int64(jetstream.DeliverAllPolicy)
		case "FilterSubject", "FilterSubjects":
			weaker = weaker || !slices.Equal(filters(hs), filters(ws))
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
			weaker = weaker || tighter(h, w) && !discardsNew(hs) && !discardsNew(ws)
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

// filters returns the subjects of a consumer, which has them in one of two fields.
func filters(settings reflect.Value) []string {
	subjects := slices.Sorted(slices.Values(settings.FieldByName("FilterSubjects").Interface().([]string)))
	if subject := settings.FieldByName("FilterSubject").String(); subject != "" {
		subjects = append(subjects, subject)
	}
	return subjects
}

// discardsNew reports whether a full stream refuses messages; a bucket always does.
func discardsNew(settings reflect.Value) bool {
	discard := settings.FieldByName("Discard")
	return !discard.IsValid() || discard.Int() == int64(jetstream.DiscardNew)
}

// tighter reports whether limit h is below limit w; 0 and -1 are unlimited.
func tighter(h, w reflect.Value) bool {
	return h.Int() > 0 && (w.Int() <= 0 || h.Int() < w.Int())
}
