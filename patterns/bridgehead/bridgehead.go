package bridgehead

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports a name that cannot be one token of a subject.
	ErrID = errors.New("bridgehead: bad ID")
	// ErrConfig reports a bad Config field or Route.
	ErrConfig = errors.New("bridgehead: bad config")
	// ErrLoop reports routes by which a message could return.
	ErrLoop = errors.New("bridgehead: the routes form a loop")
	// ErrMismatch reports an existing stream with weaker settings or other sources.
	ErrMismatch = errors.New("bridgehead: exists with other settings; change Config or call Provision")
)

// Route is a one-way connection between two sites: the subjects that cross from one
// to the other. Two directions are two Routes.
type Route struct {
	Name     string   // of the streams, OUT_<name> at From and IN_<name> at To
	From, To string   // JetStream domains of the sites; both empty for clusters joined by gateways
	Subjects []string // that cross, such as "orders.*.placed" or "orders.>"
	Prefix   string   // of each subject at To; From if empty, required between clusters
}

// Config configures both ends of a Route. The zero Config is ready to use.
type Config struct {
	MaxAge   time.Duration         // age at which a message is dropped, also if it has not crossed; 7 days if zero
	MaxBytes int64                 // size at which a stream refuses messages; unlimited if zero
	Cluster  string                // that stores the stream, for clusters joined by gateways; any if empty
	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of the stream; file if zero
	Bind     bool                  // use an existing stream only
	Metadata map[string]string     // of a stream that is created
}

// normal sets defaults, and refuses bad values.
func normal(r Route, c Config) (Route, Config, error) {
	r, err := r.normal()
	err = errors.Join(err, setDefault("MaxAge", &c.MaxAge, 7*24*time.Hour, time.Second),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0), setDefault("Replicas", &c.Replicas, 1, 1, 5))
	return r, c, err
}

func (r Route) normal() (Route, error) {
	r.Prefix = cmp.Or(r.Prefix, r.From)
	if err := checkID(r.Name); err != nil {
		return r, fmt.Errorf("%w: Route.Name: %w", ErrConfig, err)
	}
	if (r.From == "") != (r.To == "") || r.From != "" && r.From == r.To {
		return r, fmt.Errorf("%w: From is %q and To is %q; use two domains, or none", ErrConfig, r.From, r.To)
	}
	for _, domain := range []string{r.From, r.To} {
		if err := checkID(domain); domain != "" && err != nil {
			return r, fmt.Errorf("%w: From, To: %w", ErrConfig, err)
		}
	}
	if r.Prefix == "" {
		return r, fmt.Errorf("%w: Prefix is empty; between clusters it has no default", ErrConfig)
	}
	for token := range strings.SplitSeq(r.Prefix, ".") {
		if err := checkID(token); err != nil {
			return r, fmt.Errorf("%w: Prefix: %w", ErrConfig, err)
		}
	}
	if err := checkSubjects(r.Subjects); err != nil {
		return r, err
	}
	return r, checkLoop(r, r)
}

func checkSubjects(subjects []string) error {
	if len(subjects) == 0 {
		return fmt.Errorf("%w: Subjects is empty; name what crosses", ErrConfig)
	}
	for i, s := range subjects {
		tokens := strings.Split(s, ".")
		for j, token := range tokens {
			if token != "*" && (token != ">" || j == 0 || j < len(tokens)-1) && checkID(token) != nil {
				return fmt.Errorf("%w: Subjects: %.80q; use tokens, * for one token, and > at the end", ErrConfig, s)
			}
		}
		for _, other := range subjects[:i] {
			if overlap(s, other) {
				return fmt.Errorf("%w: Subjects: %s and %s overlap; a message would be stored twice", ErrConfig, s, other)
			}
		}
	}
	return nil
}

// checkLoop refuses routes if a message that arrives by in could leave by out.
func checkLoop(in, out Route) error {
	for _, s := range in.Subjects {
		for _, other := range out.Subjects {
			if overlap(in.Prefix+"."+s, other) {
				return fmt.Errorf("%w: messages of route %s arrive at %s as %s.%s, and route %s takes %s", ErrLoop, in.Name, in.To, in.Prefix, s, out.Name, other)
			}
		}
	}
	return nil
}

// Check refuses bad routes, and routes that form a loop: a message that arrives at a
// site by one route must not leave it by another.
func Check(routes ...Route) error {
	for i, a := range routes {
		a, err := a.normal()
		if err != nil {
			return err
		}
		for _, b := range routes[:i] {
			b, err := b.normal()
			if err != nil {
				return err
			}
			if a.Name == b.Name {
				return fmt.Errorf("%w: two routes have the name %s", ErrConfig, a.Name)
			}
			for _, pair := range [][2]Route{{a, b}, {b, a}} {
				in, out := pair[0], pair[1]
				if err := checkLoop(in, out); err != nil && in.To == out.From {
					return err
				}
			}
		}
	}
	return nil
}

// overlap reports whether a subject exists that both patterns match.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] == ">" || y[i] == ">" {
			return true
		}
		if x[i] != y[i] && x[i] != "*" && y[i] != "*" {
			return false
		}
	}
	return len(x) == len(y)
}
