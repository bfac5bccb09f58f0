package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const markKey = "catalog-demo"

func mark(play string) map[string]string { return map[string]string{markKey: play} }

// clear deletes the play's streams, found by their mark, and fails at the first
// of the same name without it, deleting nothing. With keep, it only looks.
func (p Play) clear(ctx context.Context, js jetstream.JetStream, keep bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var ours []string
	for _, name := range p.Streams {
		s, err := js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return fmt.Errorf("look for stream %s: %w", name, err)
		case s.CachedInfo().Config.Metadata[markKey] != p.Name:
			return fmt.Errorf("stream %s exists and is not this demo's (no metadata %s=%s), so it stays untouched; use another server or account", name, markKey, p.Name)
		default:
			ours = append(ours, name)
		}
	}
	if keep {
		return nil
	}
	for _, name := range ours {
		if err := js.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("delete stream %s of an earlier run: %w", name, err)
		}
	}
	return nil
}

// CheckStreams fails if the server holds a stream that the play does not own up to,
// by name and by mark: on a real server, that one would be left behind.
func (p Play) CheckStreams(ctx context.Context, js jetstream.JetStream) error {
	var errs []error
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		if !slices.Contains(p.Streams, info.Config.Name) {
			errs = append(errs, fmt.Errorf("stream %s is missing in Play.Streams", info.Config.Name))
		} else if info.Config.Metadata[markKey] != p.Name {
			errs = append(errs, fmt.Errorf("stream %s does not carry Env.Mark", info.Config.Name))
		}
	}
	return errors.Join(append(errs, list.Err())...)
}
