package bridgehead

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ExportStreamConfig returns the stream OUT_<name>, which stores at From the messages
// that cross to To.
func ExportStreamConfig(r Route, cfg Config) (jetstream.StreamConfig, error) {
	r, cfg, err := normal(r, cfg)
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	// Retention is limits: sourcing a workqueue stream loses the messages in flight when
	// the link is cut.
	return cfg.placed(jetstream.StreamConfig{
		Name: "OUT_" + r.Name, Subjects: r.Subjects, Retention: jetstream.LimitsPolicy, Duplicates: min(2*time.Minute, cfg.MaxAge),
		Description: "messages to " + r.To,
	}), nil
}

// ImportStreamConfig returns the stream IN_<name>, which sources OUT_<name> at To.
// Nothing else publishes into it.
func ImportStreamConfig(r Route, cfg Config) (jetstream.StreamConfig, error) {
	r, cfg, err := normal(r, cfg)
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	source := &jetstream.StreamSource{Name: "OUT_" + r.Name}
	if r.From != "" {
		source.External = &jetstream.ExternalStream{APIPrefix: "$JS." + r.From + ".API"} // as the server stores a domain
	}
	for _, s := range r.Subjects {
		source.SubjectTransforms = append(source.SubjectTransforms, jetstream.SubjectTransformConfig{
			Source: s, Destination: r.Prefix + "." + destination(s),
		})
	}
	return cfg.placed(jetstream.StreamConfig{
		Name: "IN_" + r.Name, Sources: []*jetstream.StreamSource{source}, Retention: jetstream.LimitsPolicy,
		Description: "messages from " + r.From,
	}), nil
}

// placed adds the settings that both streams share.
func (c Config) placed(s jetstream.StreamConfig) jetstream.StreamConfig {
	s.MaxAge, s.MaxBytes, s.Discard = c.MaxAge, c.MaxBytes, jetstream.DiscardNew
	s.Replicas, s.Storage, s.Metadata = c.Replicas, c.Storage, maps.Clone(c.Metadata)
	if c.Cluster != "" {
		s.Placement = &jetstream.Placement{Cluster: c.Cluster}
	}
	return s
}

// destination returns a pattern as the destination of a subject transform, which
// takes the tokens that the wildcards of the pattern matched.
func destination(pattern string) string {
	tokens, n := strings.Split(pattern, "."), 0
	for i, token := range tokens {
		if token == "*" {
			n++
			tokens[i] = fmt.Sprintf("{{wildcard(%d)}}", n)
		}
	}
	return strings.Join(tokens, ".")
}

// Export finds or creates the stream OUT_<name> at From. Publish to the subjects of the
// route through JetStream. A stored message crosses as soon as the link is up, within
// Config.MaxAge.
func Export(ctx context.Context, js jetstream.JetStream, r Route, cfg Config) (jetstream.Stream, error) {
	want, err := ExportStreamConfig(r, cfg)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	return s, wrap(err)
}

// Import finds or creates the stream IN_<name> at To, where the messages are consumed.
// The link need not be up.
func Import(ctx context.Context, js jetstream.JetStream, r Route, cfg Config) (jetstream.Stream, error) {
	want, err := ImportStreamConfig(r, cfg)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind, exactSources)
	return s, wrap(err)
}

// exactSources: with other sources, other messages arrive, or on other subjects.
const exactSources = "Sources"

// ProvisionExport creates the stream of [Export], or changes what is weaker.
func ProvisionExport(ctx context.Context, js jetstream.JetStream, r Route, cfg Config) error {
	want, err := ExportStreamConfig(r, cfg)
	if err != nil {
		return err
	}
	_, err = provision(ctx, streamOf(js, want.Name), want)
	return wrap(err)
}

// ProvisionImport creates the stream of [Import], or changes what is weaker, and its
// source.
func ProvisionImport(ctx context.Context, js jetstream.JetStream, r Route, cfg Config) error {
	want, err := ImportStreamConfig(r, cfg)
	if err != nil {
		return err
	}
	_, err = provision(ctx, streamOf(js, want.Name), want, exactSources)
	return wrap(err)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bridgehead: %w", err)
}
