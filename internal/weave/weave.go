// Package weave fills the code blocks of a Markdown page from the files they quote. A
// comment on the line above a block names its source, one of
//
//	<!-- weave patterns/x/x.go Send Monitor.Run -->    declarations, by name
//	<!-- weave patterns/x/doc.go #Guarantees -->       a section of the package doc
//	<!-- weave demos/x/testdata/transcript.txt -->     a whole file
//
// and a name that does not exist is an error.
package weave

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

var block = regexp.MustCompile("(?m)^<!-- weave (\\S+)((?: \\S+)*) -->\n(?:(?s:```.*?^```)\n|(?:>.*\n)+)?")

// Page returns md with every woven block filled from fsys: code and files as
// fenced blocks, sections of documentation as block quotes.
func Page(fsys fs.FS, md []byte) ([]byte, error) {
	var failed error
	out := block.ReplaceAllFunc(md, func(m []byte) []byte {
		g := block.FindSubmatch(m)
		file, names := string(g[1]), strings.Fields(string(g[2]))
		head, _, _ := bytes.Cut(m, []byte("\n"))
		text, err := Quote(fsys, file, names...)
		if err != nil && failed == nil {
			failed = fmt.Errorf("weave: %s %v: %w", file, names, err)
		}
		text = strings.TrimRight(text, "\n")
		if len(names) > 0 && strings.HasPrefix(names[0], "#") {
			return fmt.Appendf(nil, "%s\n> %s\n", head, strings.ReplaceAll(text, "\n", "\n> "))
		}
		lang := map[string]string{".go": "go", ".mmd": "mermaid"}[path.Ext(file)]
		return fmt.Appendf(nil, "%s\n```%s\n%s\n```\n", head, lang, text)
	})
	return out, failed
}

// Quote returns the named declarations or sections of file, or all of it if none
// is named.
func Quote(fsys fs.FS, file string, names ...string) (string, error) {
	src, err := fs.ReadFile(fsys, file)
	if err != nil || len(names) == 0 {
		return string(src), err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, name := range names {
		text := ""
		if title, ok := strings.CutPrefix(name, "#"); ok {
			text = section(f.Doc.Text(), title)
		} else if d := find(f, name); d != nil {
			from, to := d.Pos(), d.End()
			if c := docOf(d); c != nil {
				from = c.Pos()
			}
			text = string(src[fset.Position(from).Offset:fset.Position(to).Offset])
		}
		if text == "" {
			return "", fmt.Errorf("no %s", name)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n\n"), nil
}

// A link to a symbol, as the printer renders it: resolved, or escaped as plain text.
var docLink = regexp.MustCompile(`\\?\[([A-Za-z0-9.*]+)\](?:\([^)]*\))?`)

// section returns the text under one heading of a doc comment, as Markdown.
func section(text, title string) string {
	doc := new(comment.Parser).Parse(text)
	var in bool
	var body []comment.Block
	for _, b := range doc.Content {
		if h, ok := b.(*comment.Heading); ok {
			in = strings.ReplaceAll(string(h.Text[0].(comment.Plain)), " ", "-") == title
		} else if in {
			body = append(body, b)
		}
	}
	md := new(comment.Printer).Markdown(&comment.Doc{Content: body, Links: doc.Links})
	return docLink.ReplaceAllString(string(md), "`$1`")
}

func find(f *ast.File, name string) ast.Decl {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			full := d.Name.Name
			if d.Recv != nil {
				full = receiver(d.Recv.List[0].Type) + "." + full
			}
			if full == name {
				return d
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.Name == name {
						return d
					}
				case *ast.ValueSpec:
					for _, id := range s.Names {
						if id.Name == name {
							return d
						}
					}
				}
			}
		}
	}
	return nil
}

// receiver returns the name of a receiver's type, without its * and parameters.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

func docOf(d ast.Decl) *ast.CommentGroup {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Doc
	case *ast.GenDecl:
		return d.Doc
	}
	return nil
}
