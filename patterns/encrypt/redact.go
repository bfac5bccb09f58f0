package encrypt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Redact erases one message of a stream, for data that was stored before it was
// encrypted: the server overwrites its bytes, and the sequence stays empty. Copies,
// mirrors, backups and the state of readers keep the data, and so can the disk if the
// message was deleted before. Call it again after an error.
func Redact(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	s, info, err := find(ctx, js, stream)
	if err != nil {
		return err
	}
	if last := info.State.LastSeq; sequence == 0 || sequence > last {
		return fmt.Errorf("%w: stream %s, sequence %d; the last one is %d", ErrNoMessage, stream, sequence, last)
	}
	if err := secureDelete(ctx, s, sequence); err != nil {
		return fmt.Errorf("encrypt: redact %d of stream %s: %w", sequence, stream, err)
	}
	return nil
}

// RedactSubject is Redact for all messages of a stream whose subjects match filter.
// Copies of a message, such as dead letters, have subjects of their own.
func RedactSubject(ctx context.Context, js jetstream.JetStream, stream, filter string) error {
	if strings.ContainsAny(filter, " \t\r\n") || slices.Contains(strings.Split(filter, "."), "") {
		return fmt.Errorf("%w: the filter %.80q is not a subject", ErrConfig, filter) // no message would match
	}
	for {
		s, info, err := find(ctx, js, stream, jetstream.WithSubjectFilter(filter)) // from the leader: it has all messages
		if err != nil || len(info.State.Subjects) == 0 {
			return err
		}
		for subject := range info.State.Subjects {
			last, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return s.GetLastMsgForSubject(ctx, subject)
			})
			if err == nil {
				err = secureDelete(ctx, s, last.Sequence)
			}
			if err != nil {
				return fmt.Errorf("encrypt: redact %s in stream %s: %w; call it again", subject, stream, err)
			}
		}
	}
}

func find(ctx context.Context, js jetstream.JetStream, stream string, opts ...jetstream.StreamInfoOpt) (jetstream.Stream, *jetstream.StreamInfo, error) {
	if js == nil {
		return nil, nil, fmt.Errorf("%w: js is nil", ErrConfig)
	}
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt: redact in stream %s: %w", stream, err)
	}
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.Info(ctx, opts...) })
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt: redact in stream %s: %w", stream, err)
	}
	return s, info, nil
}

// secureDelete overwrites and deletes a message. It returns nil if the message was
// deleted before.
func secureDelete(ctx context.Context, s jetstream.Stream, sequence uint64) error {
	_, err := callAPI(ctx, func(ctx context.Context) (any, error) { return nil, s.SecureDeleteMsg(ctx, sequence) })
	if !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return err
	}
	info, infoErr := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return s.Info(ctx, jetstream.WithDeletedDetails(true))
	})
	if infoErr != nil {
		return errors.Join(err, infoErr)
	}
	if sequence < info.State.FirstSeq || slices.Contains(info.State.Deleted, sequence) {
		return nil
	}
	return err
}
