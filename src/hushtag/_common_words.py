"""Common English words, most frequent first: the rank is what the strength estimate charges an attacker.

Made by `vectors/generators/phrase_support/frequencies.py` from the frequencies of the `wordfreq` project. Written,
subtitled and social text alike, unfiltered: a table that left out rude words would overrate them.
"""

_TEXT = """
the to and of a in i is for that you it on with this was be as are have at he not by but from my or we an
your all so his they me if can will just like about up out what has when more do no were who had its their
there her which time get been would she new people how dont some also them now other im our than good only
after him into know see make over think any then could back these us want because go well said way most much
very where even should may here need really did right work year years being day too going before off why
made still take got many never those life say world down great through youre last s thats while best such
love man home long look something use cant same used both every am come part state around between always
better find help high little old since another does own things under during game ive thing give house place
school again next each mister without against didnt end found must show big feel sure team ever family keep
might please put money free someone away left number city days lot name night play until company doing few
hes let real called different having set thought done however getting god government group looking public
top women business care start system times week already anything case nothing person today change enough
everything full live making point read theres told yet bad doesnt hard mean once support tell including
music power seen states stop water based believe call head men national small took white came far job side
though try went yes actually american later less line order party run says service country open season shit
thank children everyone general theyre trying united using area black d following law makes together war
whole car face kind maybe per president story working course games health hope important least means news
within able book early friends ill information local oh post t thanks video young ago others social talk
court fact given guys half hand isnt level mind often single become body coming control death food guy hours
office pay problem south true almost fuck history known large lost m research room several started taking
university win wrong along anyone else girl john matter pretty remember air bit friend hit needs nice
playing probably saying understand yeah york class close comes id idea international looks past possible
wanted b cause due happy human members months move question r series wait woman ask community data late
leave north saw special watch wont c either fucking future light low million morning police short stay taken
age buy deal rather reason red report soon turn whether among check development form further heart minutes
myself services yourself act although asked child fire fun living major media phone players art behind
building easy gonna market near non plan political quite talking west works according available e education
final former front kids list ready sometimes son street wasnt bring college current example experience heard
london meet program type baby chance father march process shes song study word across action clear gave gets
himself month outside self students words board cost cut doctor field held instead main moment mother road
seems thinking town wants de department energy fight fine force hear issue played points price re rest
results running shows space summer term wife america beautiful date goes killed land miss project sex shot
site strong youll account co especially eyes include june parents period position record similar total w
above club common died film happened knew lead likely military perfect personal security share saint tv
whats won x april center county couple dead english happen hold industry inside issues online player private
problems return rights sense star test view weeks break british companies event higher hour l member middle
needed present result sorry takes training wish wouldnt answer boy design finally girls gold gone guess
interest july king learn policy society added al alone average bank brought certain church east hands hot
lets longer medical movie original park performance press received role sent themselves tried worked worth
areas became bill books cool director exactly giving ground meeting n provide questions relationship
september sound source usually value evidence follow lives official okay production rate reading round save
stand stuff tax whatever amount blue countries david drive eat fall fast federal feeling felt green league
management match model p picture size step trust youve central changes england forward groups hey key mom o
page paid range review science trade uk upon various attention brother cannot character chief cup football
hate havent james led looked lower natural october property quality send style u vote amazing august blood
china complete dog economic hell involved itself language lord november oil related serious stage terms
title add article attack born couldnt damn decided decision enjoy entire french january kill met perhaps
poor release situation technology turned website written choice code considered continue council cover
currently door election european events f financial foreign hair increase legal lose michael pick race seem
sign simple simply staff super union walk washington bed began built career changed crazy daily daughter
december die difficult figure hospital knows loss modern ones paper parts popular published safe starting
systems version voice whose writing army australia earth forget goal h huge internet listen practice rules
sea sir success towards v waiting ways access arent base below created deep followed la lol mark missing
offer pass professional released risk schools sleep table truth ball box build card cases dark district
europe george india mine minister note percent piece products recent seeing straight visit wall wanna weve
wrote allowed boys culture etc fans february gives growth included married officer pain paul places respect
response river rock shall speak specific standard tonight write y album century charge cold create effect
except eye funny ii limited moving network peace provided recently required sales spent store student
tomorrow track via watching weight
"""
COMMON_WORDS = tuple(_TEXT.split())
