// Code generated from internal/shared by make stamp; DO NOT EDIT.

package sequence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

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

// ensureConsumer finds the durable consumer, or creates it unless bind is set. It
// refuses one that is weaker than want, or has another value in a field that exact
// names.
func ensureConsumer(ctx context.Context, s jetstream.Stream, want jetstream.ConsumerConfig, bind bool, exact ...string) (jetstream.Consumer, error) {
	c, err := findOrCreate(ctx, bind, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerExists,
		func(ctx context.Context) (jetstream.Consumer, error) { return s.Consumer(ctx, want.Durable) },
		func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateConsumer(ctx, want) })
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	have := c.CachedInfo().Config
	return c, compare("consumer "+want.Durable, have, setFields(strengthenConsumer(have, want), want, exact))
}

// strengthenConsumer returns have with each setting replaced that is weaker than
// want: one by which messages are dropped, overtake others, or are redelivered early.
func strengthenConsumer(have, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c := have
	c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = want.DeliverPolicy, want.OptStartSeq, want.OptStartTime
	c.AckPolicy, c.ReplayPolicy, c.HeadersOnly, c.BackOff = want.AckPolicy, want.ReplayPolicy, want.HeadersOnly, want.BackOff
	c.FilterSubject, c.FilterSubjects, c.MemoryStorage = want.FilterSubject, want.FilterSubjects, want.MemoryStorage
	c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL
	c.AckWait, c.MaxDeliver = max(have.AckWait, want.AckWait), larger(have.MaxDeliver, want.MaxDeliver)
	c.InactiveThreshold, c.Replicas = longer(have.InactiveThreshold, want.InactiveThreshold), max(have.Replicas, want.Replicas)
	switch {
	case want.MaxAckPending == 1: // keeps the order
		c.MaxAckPending = 1
	case want.MaxAckPending != 0: // 0 is the default of the server
		c.MaxAckPending = larger(have.MaxAckPending, want.MaxAckPending)
	}
	c.Metadata = mergeMetadata(have.Metadata, want.Metadata)
	return c
}

// findOrCreate calls find, and create if find returns missing, unless bind is set.
func findOrCreate[T any](ctx context.Context, bind bool, missing, exists error, find, create func(context.Context) (T, error)) (T, error) {
	v, err := callAPI(ctx, find)
	if !errors.Is(err, missing) || bind {
		return v, err
	}
	v, err = callAPI(ctx, create)
	if errors.Is(err, exists) { // another process was faster
		return callAPI(ctx, find)
	}
	return v, err
}

// compare refuses what has a field other than needed, by the name of the field.
func compare(what string, have, needed any) error {
	h, n := reflect.ValueOf(have), reflect.ValueOf(needed)
	for i := range h.NumField() {
		if name := h.Type().Field(i).Name; name != "Metadata" && !reflect.DeepEqual(h.Field(i).Interface(), n.Field(i).Interface()) {
			return fmt.Errorf("%w: %s has %s %v, want %v", ErrMismatch, what, name, printable(h.Field(i)), printable(n.Field(i)))
		}
	}
	return nil
}

// printable returns what v points to.
func printable(v reflect.Value) any {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		return "none"
	}
	return v.Elem()
}

// setFields returns config with the named fields of from.
func setFields[C any](config, from C, names []string) C {
	for _, name := range names {
		reflect.ValueOf(&config).Elem().FieldByName(name).Set(reflect.ValueOf(from).FieldByName(name))
	}
	return config
}

// mergeMetadata returns have with the entries of want.
func mergeMetadata(have, want map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, have)
	maps.Copy(merged, want)
	return merged
}

// longer returns the longer of two durations, of which 0 is unlimited.
func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// larger returns the larger of two limits, of which 0 and -1 are unlimited.
func larger[T int | int64](a, b T) T {
	if a <= 0 || b <= 0 {
		return -1
	}
	return max(a, b)
}

// ensureStream finds the stream, or creates it unless bind is set. It refuses a
// stream that is weaker than want, or has another value in a field that exact names.
func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, bind bool, exact ...string) (jetstream.Stream, error) {
	s, err := findOrCreate(ctx, bind, jetstream.ErrStreamNotFound, jetstream.ErrStreamNameAlreadyInUse,
		func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, want.Name) },
		func(ctx context.Context) (jetstream.Stream, error) { return js.CreateStream(ctx, want) })
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	have := s.CachedInfo().Config
	return s, compare("stream "+want.Name, have, setFields(strengthenStream(have, want), want, exact))
}

// strengthenStream returns have with each setting replaced that is weaker than want:
// one by which messages are lost, dropped, stored twice or not stored at all.
func strengthenStream(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	c := have
	c.Subjects, c.Retention, c.SubjectTransform = want.Subjects, want.Retention, want.SubjectTransform
	c.NoAck, c.Sealed, c.PersistMode, c.Metadata = want.NoAck, false, want.PersistMode, mergeMetadata(have.Metadata, want.Metadata)
	c.Replicas, c.Storage = max(have.Replicas, want.Replicas), min(have.Storage, want.Storage) // file is less than memory
	c.MaxAge, c.Duplicates = longer(have.MaxAge, want.MaxAge), max(have.Duplicates, want.Duplicates)
	c.SubjectDeleteMarkerTTL = max(have.SubjectDeleteMarkerTTL, want.SubjectDeleteMarkerTTL)
	if want.RePublish != nil {
		c.RePublish = want.RePublish
	}
	if want.MaxMsgsPerSubject > 0 {
		c.MaxMsgsPerSubject = want.MaxMsgsPerSubject
	} else if !have.DiscardNewPerSubject {
		c.MaxMsgsPerSubject = -1
	}
	if want.Discard == jetstream.DiscardNew {
		c.Discard = jetstream.DiscardNew
	} else if have.Discard == jetstream.DiscardOld { // these limits drop messages
		c.MaxMsgs, c.MaxBytes = larger(have.MaxMsgs, want.MaxMsgs), larger(have.MaxBytes, want.MaxBytes)
	}
	for _, flag := range []struct {
		have *bool
		want bool
	}{
		{&c.AllowMsgTTL, want.AllowMsgTTL}, {&c.AllowMsgSchedules, want.AllowMsgSchedules}, {&c.AllowAtomicPublish, want.AllowAtomicPublish},
		{&c.AllowDirect, want.AllowDirect}, {&c.AllowRollup, want.AllowRollup}, {&c.DiscardNewPerSubject, want.DiscardNewPerSubject},
		{&c.DenyDelete, want.DenyDelete}, {&c.DenyPurge, want.DenyPurge},
	} {
		*flag.have = *flag.have || flag.want
	}
	return c
}
