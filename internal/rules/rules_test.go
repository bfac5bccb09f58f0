// Package rules holds the tree to the conventions that a machine can check.
package rules

import (
	"bytes"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root    = "../.."
	module  = "github.com/natspatterns/catalog"
	maxFile = 220 // lines of a file that a workshop can read in one go

	maxShared = 250 // lines of a generated shared.go or shared_messages.go
)

var update = os.Getenv("UPDATE_GOLDEN") != ""

var headings = []string{"Intent", "Forces", "On NATS", "Guarantees", "Limits", "When not to use it", "Related patterns", "Also known as", "Kind"}

var kinds = []string{"Messaging", "Delivery", "State", "Streams", "Operations", "Borders"}

// What a pattern may import beside the standard library and the nats.go module.
var imports = map[string][]string{
	"durable": {"golang.org/x/sync/semaphore"},
	"envelope": {
		"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes",
		"go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/semconv/v1.43.0", "go.opentelemetry.io/otel/trace",
	},
	"requestreply": {"github.com/synadia-io/orbit.go/natsext"},
	"schedule":     {"github.com/robfig/cron/v3"},
	"schema":       {"github.com/invopop/jsonschema", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/santhosh-tekuri/jsonschema/v6/kind"},
}

func patterns(t *testing.T) []string {
	dirs, err := filepath.Glob(root + "/patterns/*")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	var names []string
	for _, d := range dirs {
		names = append(names, filepath.Base(d))
	}
	return names
}

// Each pattern has all its parts, under one name.
func TestShape(t *testing.T) {
	for _, name := range patterns(t) {
		for _, need := range []string{
			"patterns/NAME/doc.go", "patterns/NAME/NAME.go", "patterns/NAME/NAME_test.go", "patterns/NAME/example_test.go", "patterns/NAME/bench_test.go",
			"demos/NAME/main.go", "demos/NAME/main_test.go", "demos/NAME/testdata/transcript.txt", "docs/patterns/NAME.md",
		} {
			file := strings.ReplaceAll(need, "NAME", name)
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("pattern %s has no %s", name, file)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	for _, name := range patterns(t) {
		for _, file := range goFiles(t, name) {
			checkFile(t, name, file)
		}
	}
}

// goFiles returns the files of a pattern. A package below it, such as
// datapump/storetest, is for tests: it is not copied, and may import testify.
func goFiles(t *testing.T, pattern string) []string {
	files, err := filepath.Glob(filepath.Join(root, "patterns", pattern, "*.go"))
	require.NoError(t, err)
	return files
}

func checkFile(t *testing.T, name, file string) {
	src, err := os.ReadFile(file)
	require.NoError(t, err)
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ParseComments)
	require.NoError(t, err)
	most := maxFile
	if strings.HasPrefix(filepath.Base(file), "shared") {
		most = maxShared
	}
	if n := bytes.Count(src, []byte("\n")); n > most {
		t.Errorf("%s: %d lines, at most %d", file, n, most)
	}
	if isDoc := filepath.Base(file) == "doc.go"; isDoc != (f.Doc != nil) {
		t.Errorf("%s: the package doc belongs in doc.go, only and always", file)
	} else if isDoc {
		checkDoc(t, name, file, f.Doc.Text())
	}
	if strings.HasSuffix(file, "_test.go") {
		// A test on the real clock that has to let time pass says why, after lint:bubble.
		if bytes.Contains(src, []byte("time.Sleep(")) && !bytes.Contains(src, []byte("natstest.Bubble(")) && !bytes.Contains(src, []byte("lint:bubble")) {
			t.Errorf("%s sleeps outside a bubble; poll with natstest.Eventually", file)
		}
		return
	}
	if bytes.Contains(src, []byte("slog.Default(")) {
		t.Errorf("%s logs where nobody asked it to: a Log of nil discards", file)
	}
	for _, imp := range f.Imports {
		p := strings.Trim(imp.Path.Value, `"`)
		std := !strings.Contains(strings.Split(p, "/")[0], ".")
		if !std && !strings.HasPrefix(p, "github.com/nats-io/nats.go") && !slices.Contains(imports[name], p) {
			t.Errorf("%s imports %s; a pattern stands alone, so that it can be copied out", file, p)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			for _, vague := range []string{"Manager", "Helper", "Impl", "Util"} {
				if strings.HasSuffix(spec.Name.Name, vague) {
					t.Errorf("%s: a type is named for its role, not %s", file, spec.Name.Name)
				}
			}
		}
		return true
	})
}

var (
	testName = regexp.MustCompile(`\b((?:Test|Example|Fuzz|Benchmark)[A-Z]\w*)((?:/[\w>=,'.-]+)*)`)
	bullet   = regexp.MustCompile(`(?m)^  - `)
	subject  = regexp.MustCompile(`^[A-Z][A-Za-z]+(,? [a-z]+){0,3}: `)
)

// Every guarantee names the tests that prove it, and they exist.
func checkDoc(t *testing.T, name, file, text string) {
	var got []string
	sections := map[string]string{}
	for _, part := range strings.Split("\n"+text, "\n# ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		got = append(got, title)
		sections[title] = body
	}
	if !slices.Equal(got, headings) {
		t.Errorf("%s: headings %q, want %q", file, got, headings)
	}
	tests := ""
	for _, f := range goFiles(t, name) {
		if strings.HasSuffix(f, "_test.go") {
			src, err := os.ReadFile(f)
			require.NoError(t, err)
			tests += string(src)
		}
	}
	if !slices.Contains(kinds, strings.TrimSpace(sections["Kind"])) {
		t.Errorf("%s: Kind is %q, want one of %q", file, sections["Kind"], kinds)
	}
	if !strings.HasPrefix(text, "Package "+name+" ") {
		t.Errorf("%s: begin with \"Package %s\" and a verb", file, name)
	}
	bullets := bullet.Split(sections["Guarantees"], -1)[1:]
	if len(bullets) == 0 {
		t.Errorf("%s: no guarantees", file)
	}
	for _, b := range bullets {
		b = strings.Join(strings.Fields(b), " ")
		if !subject.MatchString(b) {
			t.Errorf("%s: begin the guarantee with what it is about, such as Loss: or Order: %q", file, b)
		}
		named := testName.FindAllStringSubmatch(b, -1)
		if named == nil {
			t.Errorf("%s: no test is named that proves %q", file, b)
		}
		for _, m := range named {
			if !strings.Contains(tests, "func "+m[1]+"(") {
				t.Errorf("%s: there is no %s", file, m[1])
			}
			for _, sub := range strings.Split(m[2], "/")[1:] {
				if !strings.Contains(tests, `"`+strings.ReplaceAll(sub, "_", " ")) && !strings.Contains(tests, `"`+sub) {
					t.Errorf("%s: %s has no case %q", file, m[1], sub)
				}
			}
		}
	}
}

// The demo of a directory carries its name, and is held to its recording.
func TestDemos(t *testing.T) {
	mains, err := filepath.Glob(root + "/demos/*/main.go")
	require.NoError(t, err)
	for _, file := range mains {
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		name := filepath.Base(filepath.Dir(file))
		if !regexp.MustCompile(`Name:\s+"` + name + `"`).Match(src) {
			t.Errorf("%s: its demo.Play is not called %q", file, name)
		}
		test, err := os.ReadFile(filepath.Join(filepath.Dir(file), "main_test.go"))
		if err != nil || !bytes.Contains(test, []byte("demotest.Golden")) {
			t.Errorf("demos/%s has no golden test", name)
		}
	}
}

// synopsis is the first sentence of a pattern's documentation.
func synopsis(t *testing.T, name string) string {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "patterns", name, "doc.go"), nil, parser.ParseComments)
	require.NoError(t, err)
	return new(doc.Package).Synopsis(f.Doc.Text())
}
