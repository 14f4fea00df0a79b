//! The parser: turns tokens into the AST types of async-graphql's parser
//! (<https://spec.graphql.org/October2021/#sec-Language>, without type definitions).
//!
//! async-graphql's own parser is not used: it overflows the stack on 400 nested brackets, keeps only the last of two
//! input fields with the same name, and does not accept surrogate pairs, variable directives after a default, or spaces
//! inside `[ Int ]`. The recursion here is limited by the lexer's limit on nested brackets.

use async_graphql::Name;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    BaseType, Directive, Field, FragmentDefinition, FragmentSpread, InlineFragment, OperationDefinition, OperationType,
    Selection, SelectionSet, Type, TypeCondition, VariableDefinition,
};
use async_graphql::parser::{Pos, Positioned};
use async_graphql_value::Value;

use super::errors::{Refusal, invalid, syntax};
use super::lexer::{Lexer, Token, TokenKind};
use super::limits::Limits;

/// The definitions of a document, in order.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) operations: Vec<(Option<Name>, Positioned<OperationDefinition>)>,
    pub(super) fragments: Vec<(Name, Positioned<FragmentDefinition>)>,
    /// The length of the text in bytes and the number of tokens, as measures of its size.
    pub(super) bytes: usize,
    pub(super) tokens: usize,
}

/// Parses a document.
///
/// # Errors
/// The first syntax error, or the first exceeded limit of a text.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Source, Refusal> {
    let mut lexer = Lexer::new(text, limits);
    let next = lexer.next()?;
    let mut parser = Parser { lexer, next };
    let mut source = Source::default();
    while parser.next.kind != TokenKind::End || source.operations.is_empty() && source.fragments.is_empty() {
        parser.definition(&mut source)?;
    }
    (source.bytes, source.tokens) = (text.len(), parser.lexer.tokens());
    Ok(source)
}

type Arguments = Vec<(Positioned<Name>, Positioned<Value>)>;

struct Parser<'a> {
    lexer: Lexer<'a>,
    next: Token<'a>,
}

impl<'a> Parser<'a> {
    fn advance(&mut self) -> Result<Token<'a>, Refusal> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, Refusal> {
        Err(syntax(expected, self.next.pos))
    }

    fn is(&self, punctuator: u8) -> bool {
        self.next.kind == TokenKind::Punctuator(punctuator)
    }

    fn accept(&mut self, punctuator: u8) -> Result<bool, Refusal> {
        let is_there = self.is(punctuator);
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn expect(&mut self, punctuator: u8) -> Result<Pos, Refusal> {
        let pos = self.next.pos;
        if self.accept(punctuator)? {
            return Ok(pos);
        }
        self.unexpected(&format!("\"{}\"", char::from(punctuator)))
    }

    fn name(&mut self) -> Result<Positioned<Name>, Refusal> {
        let TokenKind::Name(name) = self.next.kind else { return self.unexpected("a name") };
        let pos = self.advance()?.pos;
        Ok(Positioned::new(Name::new(name), pos))
    }

    /// Parses one or more items between brackets.
    fn many<T>(
        &mut self,
        open: u8,
        close: u8,
        item: impl Fn(&mut Self) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        self.expect(open)?;
        let mut items = vec![item(self)?];
        while !self.accept(close)? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Skips the description of a definition or variable.
    fn description(&mut self) -> Result<bool, Refusal> {
        let is_there = matches!(self.next.kind, TokenKind::String(_));
        if is_there {
            self.advance()?;
        }
        Ok(is_there)
    }

    fn definition(&mut self, source: &mut Source) -> Result<(), Refusal> {
        let is_described = self.description()?;
        let pos = self.next.pos;
        let ty = match self.next.kind {
            TokenKind::Punctuator(b'{') if !is_described => {
                let operation = OperationDefinition {
                    ty: OperationType::Query,
                    variable_definitions: Vec::new(),
                    directives: Vec::new(),
                    selection_set: self.selection_set()?,
                };
                source.operations.push((None, Positioned::new(operation, pos)));
                return Ok(());
            }
            TokenKind::Name("fragment") => return self.fragment(source),
            TokenKind::Name("query") => OperationType::Query,
            TokenKind::Name("mutation") => OperationType::Mutation,
            TokenKind::Name("subscription") => OperationType::Subscription,
            _ => return self.unexpected("an operation or a fragment"),
        };
        self.advance()?;
        let name = if matches!(self.next.kind, TokenKind::Name(_)) { Some(self.name()?.node) } else { None };
        let variable_definitions =
            if self.is(b'(') { self.many(b'(', b')', Self::variable_definition)? } else { Vec::new() };
        let directives = self.directives(false)?;
        let selection_set = self.selection_set()?;
        let operation = OperationDefinition { ty, variable_definitions, directives, selection_set };
        source.operations.push((name, Positioned::new(operation, pos)));
        Ok(())
    }

    fn fragment(&mut self, source: &mut Source) -> Result<(), Refusal> {
        let pos = self.advance()?.pos;
        if self.next.kind == TokenKind::Name("on") {
            return self.unexpected("a name other than \"on\"");
        }
        let name = self.name()?.node;
        if self.next.kind != TokenKind::Name("on") {
            return self.unexpected("\"on\"");
        }
        let fragment = FragmentDefinition {
            type_condition: self.type_condition()?,
            directives: self.directives(false)?,
            selection_set: self.selection_set()?,
        };
        source.fragments.push((name, Positioned::new(fragment, pos)));
        Ok(())
    }

    fn type_condition(&mut self) -> Result<Positioned<TypeCondition>, Refusal> {
        let pos = self.advance()?.pos;
        Ok(Positioned::new(TypeCondition { on: self.name()? }, pos))
    }

    fn variable_definition(&mut self) -> Result<Positioned<VariableDefinition>, Refusal> {
        self.description()?;
        let pos = self.expect(b'$')?;
        let name = self.name()?;
        self.expect(b':')?;
        let type_pos = self.next.pos;
        let var_type = Positioned::new(self.type_reference()?, type_pos);
        let default_pos = self.next.pos;
        let default_value = if self.accept(b'=')? {
            let value = self.value(true)?.node.into_const();
            Some(Positioned::new(value.ok_or_else(|| syntax("a constant", default_pos))?, default_pos))
        } else {
            None
        };
        let directives = self.directives(true)?;
        Ok(Positioned::new(VariableDefinition { name, var_type, directives, default_value }, pos))
    }

    fn type_reference(&mut self) -> Result<Type, Refusal> {
        let base = if self.accept(b'[')? {
            let inner = self.type_reference()?;
            self.expect(b']')?;
            BaseType::List(Box::new(inner))
        } else {
            BaseType::Named(self.name()?.node)
        };
        Ok(Type { base, nullable: !self.accept(b'!')? })
    }

    fn selection_set(&mut self) -> Result<Positioned<SelectionSet>, Refusal> {
        let pos = self.next.pos;
        let items = self.many(b'{', b'}', Self::selection)?;
        Ok(Positioned::new(SelectionSet { items }, pos))
    }

    fn selection(&mut self) -> Result<Positioned<Selection>, Refusal> {
        let pos = self.next.pos;
        let selection = if self.next.kind == TokenKind::Spread {
            self.advance()?;
            self.spread(pos)?
        } else {
            Selection::Field(Positioned::new(self.field()?, pos))
        };
        Ok(Positioned::new(selection, pos))
    }

    fn spread(&mut self, pos: Pos) -> Result<Selection, Refusal> {
        if let TokenKind::Name(name) = self.next.kind
            && name != "on"
        {
            let spread = FragmentSpread { fragment_name: self.name()?, directives: self.directives(false)? };
            return Ok(Selection::FragmentSpread(Positioned::new(spread, pos)));
        }
        let type_condition =
            if matches!(self.next.kind, TokenKind::Name(_)) { Some(self.type_condition()?) } else { None };
        let directives = self.directives(false)?;
        let inline = InlineFragment { type_condition, directives, selection_set: self.selection_set()? };
        Ok(Selection::InlineFragment(Positioned::new(inline, pos)))
    }

    fn field(&mut self) -> Result<Field, Refusal> {
        let first = self.name()?;
        let (alias, name) = if self.accept(b':')? { (Some(first), self.name()?) } else { (None, first) };
        let arguments = self.arguments(false)?;
        let directives = self.directives(false)?;
        let selection_set = if self.is(b'{') { self.selection_set()? } else { Positioned::default() };
        Ok(Field { alias, name, arguments, directives, selection_set })
    }

    fn directives(&mut self, is_const: bool) -> Result<Vec<Positioned<Directive>>, Refusal> {
        let mut directives = Vec::new();
        while self.is(b'@') {
            let pos = self.advance()?.pos;
            let directive = Directive { name: self.name()?, arguments: self.arguments(is_const)? };
            directives.push(Positioned::new(directive, pos));
        }
        Ok(directives)
    }

    fn arguments(&mut self, is_const: bool) -> Result<Arguments, Refusal> {
        if !self.is(b'(') {
            return Ok(Vec::new());
        }
        self.many(b'(', b')', |parser| {
            let name = parser.name()?;
            parser.expect(b':')?;
            Ok((name, parser.value(is_const)?))
        })
    }

    fn value(&mut self, is_const: bool) -> Result<Positioned<Value>, Refusal> {
        let pos = self.next.pos;
        let value = match self.next.kind {
            TokenKind::Punctuator(b'[') => self.list(is_const)?,
            TokenKind::Punctuator(b'{') => self.object(is_const)?,
            TokenKind::Punctuator(b'$') if !is_const => {
                self.advance()?;
                Value::Variable(self.name()?.node)
            }
            _ => match self.advance()?.kind {
                TokenKind::Name("true") => Value::Boolean(true),
                TokenKind::Name("false") => Value::Boolean(false),
                TokenKind::Name("null") => Value::Null,
                TokenKind::Name(name) => Value::Enum(Name::new(name)),
                TokenKind::String(text) => Value::String(text.into_owned()),
                TokenKind::Int(digits) | TokenKind::Float(digits) => {
                    Value::Number(digits.parse().map_err(|_| syntax("a number in the range of a 64-bit float", pos))?)
                }
                _ => return Err(syntax(if is_const { "a constant" } else { "a value" }, pos)),
            },
        };
        Ok(Positioned::new(value, pos))
    }

    fn list(&mut self, is_const: bool) -> Result<Value, Refusal> {
        self.expect(b'[')?;
        let mut items = Vec::new();
        while !self.accept(b']')? {
            items.push(self.value(is_const)?.node);
        }
        Ok(Value::List(items))
    }

    fn object(&mut self, is_const: bool) -> Result<Value, Refusal> {
        self.expect(b'{')?;
        let mut fields = IndexMap::new();
        while !self.accept(b'}')? {
            let name = self.name()?;
            self.expect(b':')?;
            let value = self.value(is_const)?.node;
            if fields.insert(name.node.clone(), value).is_some() {
                return Err(invalid(format!("There can be only one input field named \"{}\".", name.node), name.pos));
            }
        }
        Ok(Value::Object(fields))
    }
}
