package shared

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

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

// provisionStream creates the stream, or changes what ensureStream would refuse.
func provisionStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, exact ...string) (jetstream.Stream, error) {
	s, err := ensureStream(ctx, js, want, false, exact...)
	if err != nil && !errors.Is(err, ErrMismatch) {
		return nil, err
	}
	needed := setFields(strengthenStream(s.CachedInfo().Config, want), want, exact)
	s, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.UpdateStream(ctx, needed) })
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return s, nil
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
